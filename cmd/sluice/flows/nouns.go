package flows

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// end is the end of a flow that a flag is about.
type end int

const (
	anyEnd end = iota
	sourceEnd
	destinationEnd
)

// endOf splits the name of a flag: from-port is about the port of the source.
func endOf(name string) (end, string) {
	if noun, ok := strings.CutPrefix(name, "from-"); ok {
		return sourceEnd, noun
	}
	if noun, ok := strings.CutPrefix(name, "to-"); ok {
		return destinationEnd, noun
	}
	return anyEnd, name
}

// endFields are the fields of a filter about one end.
type endFields struct {
	end                                  end
	ip, pod, fqdn, label, port, clusters *[]string
	workload                             *[]*flowpb.Workload
	identity                             *[]uint32
}

func sourceOf(f *flowpb.FlowFilter) endFields {
	if f == nil {
		return endFields{end: sourceEnd}
	}
	return endFields{sourceEnd, &f.SourceIp, &f.SourcePod, &f.SourceFqdn, &f.SourceLabel, &f.SourcePort, &f.SourceClusterName,
		&f.SourceWorkload, &f.SourceIdentity}
}

func destinationOf(f *flowpb.FlowFilter) endFields {
	if f == nil {
		return endFields{end: destinationEnd}
	}
	return endFields{destinationEnd, &f.DestinationIp, &f.DestinationPod, &f.DestinationFqdn, &f.DestinationLabel,
		&f.DestinationPort, &f.DestinationClusterName, &f.DestinationWorkload, &f.DestinationIdentity}
}

// endNouns are the flags of Hubble's that exist for either end, the source (from-) and the destination (to-).
var endNouns = map[string]func(e endFields, v string) error{
	"ip": func(e endFields, v string) error {
		if _, err := netip.ParsePrefix(v); err != nil {
			if _, err := netip.ParseAddr(v); err != nil {
				return errors.New("it is neither an address nor a CIDR")
			}
		}
		return add(e.ip, v)
	},
	"pod":     func(e endFields, v string) error { return add(e.pod, v) },
	"fqdn":    func(e endFields, v string) error { return add(e.fqdn, v) },
	"label":   func(e endFields, v string) error { return add(e.label, v) },
	"cluster": func(e endFields, v string) error { return add(e.clusters, v) },
	"port": func(e endFields, v string) error {
		if p, err := strconv.ParseUint(v, 10, 16); err != nil || p == 0 {
			return errors.New("ports go from 1 to 65535")
		}
		return add(e.port, v)
	},
	"workload": func(e endFields, v string) error { return add(e.workload, workload(v)) },
	"identity": func(e endFields, v string) error {
		n, err := identity(v)
		if err != nil {
			return err
		}
		return add(e.identity, n)
	},
}

// ownNouns are Sluice's own: what each value means, as alternatives.
var ownNouns = map[string][]func(e endFields, v string) error{
	"container": {putContainer},
	"service":   {putService},
	"project":   {putProject},
	"name":      {putContainerName, putService},
}

func putContainer(e endFields, v string) error {
	if v == "" || strings.Contains(v, "/") {
		return errors.New("name a container; services are --service PROJECT/SERVICE")
	}
	return add(e.pod, "/"+v+exactly)
}

// putContainerName is putContainer where the value may name a service instead.
func putContainerName(e endFields, v string) error {
	if strings.Contains(v, "/") {
		return nil
	}
	return putContainer(e, v)
}

func putService(e endFields, v string) error {
	project, service, found := strings.Cut(v, "/")
	if !found {
		project, service = "", v
	}
	if service == "" || found && project == "" || strings.Contains(service, "/") {
		return errors.New("services are named SERVICE or PROJECT/SERVICE")
	}
	if project != "" {
		*e.pod = append(*e.pod, project+"/")
	}
	return add(e.workload, workload(service))
}

func putProject(e endFields, v string) error {
	if v == "" || strings.Contains(v, "/") {
		return errors.New("name a compose project, or a stack of swarm")
	}
	return add(e.pod, v+"/")
}

// nouns are the flags that are not about one end.
var nouns = map[string]func(f *flowpb.FlowFilter, v string) error{
	"uuid":       func(f *flowpb.FlowFilter, v string) error { return add(&f.Uuid, v) },
	"node-name":  func(f *flowpb.FlowFilter, v string) error { return add(&f.NodeName, v) },
	"node-label": func(f *flowpb.FlowFilter, v string) error { return add(&f.NodeLabels, v) },
	"protocol":   func(f *flowpb.FlowFilter, v string) error { return add(&f.Protocol, v) },
	"snat-ip":    func(f *flowpb.FlowFilter, v string) error { return add(&f.SourceIpXlated, v) },
	"trace-id":   func(f *flowpb.FlowFilter, v string) error { return add(&f.TraceId, v) },
	"interface": func(f *flowpb.FlowFilter, v string) error {
		return add(&f.Interface, &flowpb.NetworkInterface{Name: v})
	},
	"http-status": func(f *flowpb.FlowFilter, v string) error { return add(&f.HttpStatusCode, v) },
	"http-method": func(f *flowpb.FlowFilter, v string) error { return add(&f.HttpMethod, v) },
	"http-path":   func(f *flowpb.FlowFilter, v string) error { return add(&f.HttpPath, v) },
	"http-url":    func(f *flowpb.FlowFilter, v string) error { return add(&f.HttpUrl, v) },
	"http-header": func(f *flowpb.FlowFilter, v string) error {
		key, value, found := strings.Cut(v, ":")
		if !found {
			return errors.New("a header reads NAME:VALUE")
		}
		return add(&f.HttpHeader, &flowpb.HTTPHeader{Key: key, Value: value})
	},
	"dns-query":  func(f *flowpb.FlowFilter, v string) error { return add(&f.DnsQuery, v) },
	"ipv4":       func(f *flowpb.FlowFilter, _ string) error { return add(&f.IpVersion, flowpb.IPVersion_IPv4) },
	"ipv6":       func(f *flowpb.FlowFilter, _ string) error { return add(&f.IpVersion, flowpb.IPVersion_IPv6) },
	"ip-version": putIPVersion,
	"encrypted":  func(f *flowpb.FlowFilter, _ string) error { return add(&f.Encrypted, true) },
	"unencrypted": func(f *flowpb.FlowFilter, _ string) error {
		return add(&f.Encrypted, false)
	},
	"reply":             func(f *flowpb.FlowFilter, _ string) error { return add(&f.Reply, true) },
	"not-reply":         func(f *flowpb.FlowFilter, _ string) error { return add(&f.Reply, false) },
	"verdict":           func(f *flowpb.FlowFilter, v string) error { return putEnum(&f.Verdict, flowpb.Verdict_value, v) },
	"drop-reason-desc":  putDropReason,
	"traffic-direction": putDirection,
	"tcp-flags":         putTCPFlags,
	"type":              putType,
	"cel-expression": func(f *flowpb.FlowFilter, v string) error {
		if f.Experimental == nil {
			f.Experimental = &flowpb.FlowFilter_Experimental{}
		}
		return add(&f.Experimental.CelExpression, v)
	},
}

// lists are the flags whose values cannot have commas: several may stand together.
var lists = []string{"ip", "port", "identity", "protocol", "verdict", "drop-reason-desc", "type", "snat-ip", "ip-version",
	"traffic-direction", "http-method"}

func values(noun, value string) []string {
	if slices.Contains(lists, noun) {
		return strings.Split(value, ",")
	}
	return []string{value}
}

func add[T any](list *[]T, v T) error {
	*list = append(*list, v)
	return nil
}

// putEnum adds the number of a name, in whatever case.
func putEnum[T ~int32](list *[]T, byName map[string]int32, name string) error {
	key := strings.ToUpper(strings.NewReplacer(" ", "_", "-", "_").Replace(name))
	n, ok := byName[key]
	if !ok {
		return fmt.Errorf("it is none of %s", strings.Join(near(key, slices.Sorted(maps.Keys(byName))), ", "))
	}
	return add(list, T(n))
}

// near returns the names that look like the word, all if none does or they are few.
func near(word string, names []string) []string {
	if len(names) <= 12 {
		return names
	}
	var found []string
	for _, n := range names {
		for part := range strings.SplitSeq(word, "_") {
			if len(part) > 2 && strings.Contains(n, part) && !slices.Contains(found, n) {
				found = append(found, n)
			}
		}
	}
	if len(found) == 0 {
		return names
	}
	return found
}

func putDropReason(f *flowpb.FlowFilter, v string) error {
	return putEnum(&f.DropReasonDesc, flowpb.DropReason_value, v)
}

func putIPVersion(f *flowpb.FlowFilter, v string) error {
	switch strings.ToLower(v) {
	case "4", "v4", "ipv4", "ip4":
		return add(&f.IpVersion, flowpb.IPVersion_IPv4)
	case "6", "v6", "ipv6", "ip6":
		return add(&f.IpVersion, flowpb.IPVersion_IPv6)
	case "none":
		return add(&f.IpVersion, flowpb.IPVersion_IP_NOT_USED)
	}
	return errors.New("it is none of v4, v6, none")
}

func putDirection(f *flowpb.FlowFilter, v string) error {
	switch strings.ToLower(v) {
	case "ingress":
		return add(&f.TrafficDirection, flowpb.TrafficDirection_INGRESS)
	case "egress":
		return add(&f.TrafficDirection, flowpb.TrafficDirection_EGRESS)
	}
	return errors.New("it is neither ingress nor egress")
}

// putTCPFlags adds flags that must all be set: syn,ack.
func putTCPFlags(f *flowpb.FlowFilter, v string) error {
	flags := &flowpb.TCPFlags{}
	fields := flags.ProtoReflect().Descriptor().Fields()
	for name := range strings.SplitSeq(strings.ToUpper(v), ",") {
		field := fields.ByTextName(name)
		if field == nil {
			return errors.New("flags are syn, ack, fin, rst, psh, urg, ece, cwr, ns; with commas between those that must be set together")
		}
		flags.ProtoReflect().Set(field, boolean(true))
	}
	return add(&f.TcpFlags, flags)
}

// workload reads KIND/NAME, or the name of any kind.
func workload(v string) *flowpb.Workload {
	if kind, name, found := strings.Cut(v, "/"); found {
		return &flowpb.Workload{Kind: kind, Name: name}
	}
	return &flowpb.Workload{Name: v}
}
