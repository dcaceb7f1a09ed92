package flows

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// DefaultLast is how many flows of the past are shown if nothing else is asked for.
const DefaultLast = 20

// Options are what a command line asks for beside the filters.
type Options struct {
	All          bool
	First, Last  uint64
	Follow       bool
	Since, Until string   // as ParseTime reads them
	Allow, Deny  []string // filters as JSON, one or several each
	Mask         []string // fields to ask for; none: all
	File         bool     // the flows come from a file: without limits, all are shown
}

// printed are the fields that the formats for people show.
var printed = []string{"time", "verdict", "drop_reason_desc", "ethernet", "IP", "l4", "l7", "source.identity", "source.namespace",
	"source.pod_name", "source.workloads", "destination.identity", "destination.namespace", "destination.pod_name",
	"destination.workloads", "source_names", "destination_names", "source_service", "destination_service", "node_name",
	"event_type", "is_reply", "Summary", "ip_trace_id", "traffic_direction", "policy_match_type", "ingress_allowed_by",
	"ingress_denied_by", "egress_allowed_by", "egress_denied_by", "extensions"}

// Printed are the fields that every format but JSON shows.
func Printed() []string { return slices.Clone(printed) }

// Request makes the request that asks a server for what the filter and the options mean.
func (o Options) Request(filter *Filter, now time.Time) (*observerpb.GetFlowsRequest, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	req := &observerpb.GetFlowsRequest{Follow: o.Follow, First: o.First > 0, Number: max(o.First, o.Last)}
	var err error
	if req.Since, err = timestamp("since", o.Since, now); err != nil {
		return nil, err
	}
	if req.Until, err = timestamp("until", o.Until, now); err != nil {
		return nil, err
	}
	if req.Since == nil && req.Until == nil && !req.First {
		switch {
		case o.All:
			req.Number = math.MaxUint64
		case o.Last == 0 && !o.Follow && !o.File:
			req.Number = DefaultLast
		}
	}
	if req.Whitelist, req.Blacklist, err = filter.Lists(); err != nil {
		return nil, err
	}
	if req.Whitelist, err = appendJSON(req.Whitelist, "allowlist", o.Allow); err != nil {
		return nil, err
	}
	if req.Blacklist, err = appendJSON(req.Blacklist, "denylist", o.Deny); err != nil {
		return nil, err
	}
	if len(o.Mask) > 0 {
		if req.FieldMask, err = fieldmaskpb.New(&flowpb.Flow{}, o.Mask...); err != nil {
			return nil, fmt.Errorf("--field-mask %s: there is no such field of a flow; "+
				"\"-o jsonpb\" shows their names", strings.Join(o.Mask, ","))
		}
	}
	return req, nil
}

// check refuses what contradicts itself.
func (o Options) check() error {
	for _, c := range []struct {
		both bool
		what string
	}{
		{o.First > 0 && o.Last > 0, "--first and --last"},
		{o.First > 0 && o.All, "--first and --all"},
		{o.First > 0 && o.Follow, "--first and --follow"},
		{o.Last > 0 && o.All, "--last and --all"},
		{o.Until != "" && o.Follow, "--until and --follow"},
	} {
		if c.both {
			return errors.New(c.what + " cannot be combined")
		}
	}
	return nil
}

func timestamp(flag, value string, now time.Time) (*timestamppb.Timestamp, error) {
	if value == "" {
		return nil, nil
	}
	t, err := ParseTime(value, now)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return timestamppb.New(t), nil
}

// appendJSON adds filters that are written as JSON documents, one after the other.
func appendJSON(list []*flowpb.FlowFilter, flag string, texts []string) ([]*flowpb.FlowFilter, error) {
	for _, text := range texts {
		documents, err := splitJSON(text)
		if err != nil {
			return nil, fmt.Errorf("--%s %s: %w", flag, text, err)
		}
		for _, d := range documents {
			f := &flowpb.FlowFilter{}
			if err := protojson.Unmarshal(d, f); err != nil {
				return nil, fmt.Errorf("--%s %s: %w", flag, text, err)
			}
			list = append(list, f)
		}
	}
	return list, nil
}

// Raw returns the filters of a request as YAML that "hubble observe --config" reads.
func Raw(req *observerpb.GetFlowsRequest) (string, error) {
	var b strings.Builder
	for _, l := range []struct {
		name    string
		filters []*flowpb.FlowFilter
	}{{"allowlist", req.GetWhitelist()}, {"denylist", req.GetBlacklist()}} {
		if len(l.filters) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s:\n", l.name)
		for _, f := range l.filters {
			text, err := compactJSON(f)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "    - '%s'\n", strings.ReplaceAll(text, "'", "''"))
		}
	}
	return b.String(), nil
}
