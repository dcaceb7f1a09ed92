package flows

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The numbers of Hubble's event types (flow.CiliumEventType), which clients name.
const (
	typeDrop          = 1
	typeDebug         = 2
	typeCapture       = 3
	typeTrace         = 4
	typePolicyVerdict = 5
	typeTraceSock     = 7
	typeL7            = 129
	typeAgent         = 130
)

var eventTypes = map[string]int32{
	"drop": typeDrop, "debug": typeDebug, "capture": typeCapture, "trace": typeTrace, "policy-verdict": typePolicyVerdict,
	"trace-sock": typeTraceSock, "l7": typeL7, "agent": typeAgent,
}

// tracePoints are the subtypes of traces.
var tracePoints = []string{"to-endpoint", "to-proxy", "to-host", "to-stack", "to-overlay", "from-endpoint", "from-proxy",
	"from-host", "from-stack", "from-overlay", "from-network", "to-network", "from-crypto", "to-crypto"}

// TypeNames are the values of the flag type, with those of traces' subtypes.
func TypeNames() []string {
	names := []string{"drop", "policy-verdict", "trace", "trace-sock", "l7", "capture"}
	for _, p := range tracePoints {
		names = append(names, "trace:"+p)
	}
	return names
}

// VerdictNames are the values of the flag verdict.
func VerdictNames() []string {
	var names []string
	for n := int32(1); flowpb.Verdict_name[n] != ""; n++ {
		names = append(names, flowpb.Verdict_name[n])
	}
	return names
}

// ReasonNames are the values of the flag drop-reason-desc.
func ReasonNames() []string {
	var names []string
	for name := range flowpb.DropReason_value {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// putType reads TYPE[:SUBTYPE], each a name or a number.
func putType(f *flowpb.FlowFilter, v string) error {
	name, sub, hasSub := strings.Cut(v, ":")
	t := &flowpb.EventTypeFilter{MatchSubType: hasSub}
	if number, ok := eventTypes[name]; ok {
		t.Type = number
	} else if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		t.Type = int32(n)
	} else {
		return errors.New("types are drop, policy-verdict, trace, trace-sock, l7, capture, or a number")
	}
	if !hasSub {
		return add(&f.EventType, t)
	}
	if i := slices.Index(tracePoints, sub); i >= 0 && t.Type == typeTrace {
		t.SubType = int32(i)
	} else if n, err := strconv.ParseUint(sub, 10, 31); err == nil {
		t.SubType = int32(n)
	} else {
		return fmt.Errorf("subtypes are numbers, those of traces %s", strings.Join(tracePoints, ", "))
	}
	return add(&f.EventType, t)
}

// reserved are the names of Cilium's reserved identities, from 1 on.
var reserved = []string{"", "host", "world", "unmanaged", "health", "init", "remote-node", "kube-apiserver", "ingress",
	"world-ipv4", "world-ipv6", "encrypted-overlay"}

// IdentityNames are the identities that have names.
func IdentityNames() []string { return reserved[1:] }

func identity(v string) (uint32, error) {
	if i := slices.Index(reserved, v); i > 0 {
		return uint32(i), nil
	}
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("an identity is a number or one of %s", strings.Join(IdentityNames(), ", "))
	}
	return uint32(n), nil
}

func boolean(b bool) protoreflect.Value { return protoreflect.ValueOfBool(b) }
