package flows

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/proto"
)

// Filter is what the flags of a command line select. A flow is shown if it matches all flags that are not negated and
// does not match all that are. Values of one flag are alternatives.
type Filter struct {
	allow, deny selection
	not         bool // the next flag is negated
}

// Set takes a flag by its name, in the order of the command line: "not" negates the next one.
func (f *Filter) Set(name, value string) error {
	if name == "not" {
		if f.not {
			return errors.New("one --not is enough")
		}
		f.not = true
		return nil
	}
	s := &f.allow
	if f.not {
		s = &f.deny
	}
	f.not = false
	return s.set(name, value)
}

// Name adds a container or a compose service, PROJECT/SERVICE if there are several of that name, at either end.
func (f *Filter) Name(name string) error { return f.allow.setOwn("name", name) }

// Lists returns the filters of a request.
func (f *Filter) Lists() (allow, deny []*flowpb.FlowFilter, err error) {
	if f.not {
		return nil, nil, errors.New("--not stands before the flag that it negates: nothing follows it")
	}
	if allow, err = f.allow.filters(); err == nil {
		deny, err = f.deny.filters()
	}
	return allow, deny, err
}

// selection is what several flags select together.
//
// Hubble's flags for either end are a pair: all of them fit the source, or all of them fit the destination. Sluice's own
// flags are independent of each other, and of these.
type selection struct {
	left, right      *flowpb.FlowFilter
	spaces, from, to []string // namespaces at either end, of the source, of the destination
	own              []group
	names            []string // flags that were set
}

// group is what one flag of Sluice's own selects: the alternatives.
type group struct {
	flag         string
	alternatives []*flowpb.FlowFilter
}

func (s *selection) set(name, value string) error {
	if err := s.note(name); err != nil {
		return err
	}
	end, noun := endOf(name)
	if _, own := ownNouns[noun]; own {
		return s.setOwn(name, value)
	}
	switch noun {
	case "namespace":
		s.namespace(end, value)
		return nil
	case "all-namespaces":
		s.namespace(end, "")
		return nil
	}
	if s.left == nil {
		s.left, s.right = &flowpb.FlowFilter{}, &flowpb.FlowFilter{}
	}
	if put, ok := endNouns[noun]; ok {
		for _, v := range values(noun, value) {
			if err := s.putEnds(end, put, v); err != nil {
				return fmt.Errorf("--%s %s: %w", name, v, err)
			}
		}
		return nil
	}
	put, ok := nouns[name]
	if !ok {
		return fmt.Errorf("there is no filter %q", name)
	}
	for _, v := range values(name, value) {
		if err := errors.Join(put(s.left, v), put(s.right, v)); err != nil {
			return fmt.Errorf("--%s %s: %w", name, v, firstOf(err))
		}
	}
	return nil
}

// firstOf returns the first of joined errors: both halves of a pair are refused alike.
func firstOf(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

// note refuses a flag for either end beside one for a certain end.
func (s *selection) note(name string) error {
	end, noun := endOf(name)
	for _, other := range s.names {
		otherEnd, otherNoun := endOf(other)
		if noun == otherNoun && (end == anyEnd) != (otherEnd == anyEnd) {
			return fmt.Errorf("--%s and --%s cannot be combined", name, other)
		}
	}
	if !slices.Contains(s.names, name) {
		s.names = append(s.names, name)
	}
	return nil
}

func (s *selection) namespace(end end, value string) {
	switch end {
	case sourceEnd:
		s.from = append(s.from, value)
	case destinationEnd:
		s.to = append(s.to, value)
	default:
		s.spaces = append(s.spaces, value)
	}
}

func (s *selection) putEnds(end end, put func(endFields, string) error, value string) error {
	switch end {
	case sourceEnd:
		return errors.Join(put(sourceOf(s.left), value), put(sourceOf(s.right), value))
	case destinationEnd:
		return errors.Join(put(destinationOf(s.left), value), put(destinationOf(s.right), value))
	}
	if err := put(sourceOf(s.left), value); err != nil {
		return err
	}
	return put(destinationOf(s.right), value)
}

// setOwn adds alternatives of a flag of Sluice's own.
func (s *selection) setOwn(name, value string) error {
	end, noun := endOf(name)
	for v := range strings.SplitSeq(value, ",") {
		var alternatives []*flowpb.FlowFilter
		for _, put := range ownNouns[noun] {
			for _, at := range []func(*flowpb.FlowFilter) endFields{sourceOf, destinationOf} {
				if at(nil).end != end && end != anyEnd {
					continue
				}
				f := &flowpb.FlowFilter{}
				if err := put(at(f), v); err != nil {
					return fmt.Errorf("--%s %s: %w", name, v, err)
				}
				if proto.Size(f) > 0 {
					alternatives = append(alternatives, f)
				}
			}
		}
		s.add(name, alternatives)
	}
	return nil
}

func (s *selection) add(name string, alternatives []*flowpb.FlowFilter) {
	for i := range s.own {
		if s.own[i].flag == name {
			s.own[i].alternatives = append(s.own[i].alternatives, alternatives...)
			return
		}
	}
	s.own = append(s.own, group{name, alternatives})
}

// mostFilters bounds what names at both ends multiply to.
const mostFilters = 256

// filters returns what is selected as alternatives; none: everything.
func (s *selection) filters() ([]*flowpb.FlowFilter, error) {
	all := s.pair()
	for _, g := range s.own {
		if len(all) == 0 {
			all = []*flowpb.FlowFilter{{}}
		}
		var next []*flowpb.FlowFilter
		for _, f := range all {
			for _, a := range g.alternatives {
				if both, ok := meetFilters(f, a); ok {
					next = append(next, both)
				}
			}
		}
		switch all = next; {
		case len(all) == 0:
			return nil, fmt.Errorf("--%s contradicts the other filters: no flow can match all of them", g.flag)
		case len(all) > mostFilters:
			return nil, fmt.Errorf("--%s: these are too many combinations of names; name fewer", g.flag)
		}
	}
	return all, nil
}

// pair returns what Hubble's own flags select.
func (s *selection) pair() []*flowpb.FlowFilter {
	if s.left == nil && len(s.spaces)+len(s.from)+len(s.to) == 0 {
		return nil
	}
	left, right := &flowpb.FlowFilter{}, &flowpb.FlowFilter{}
	if s.left != nil {
		left, right = proto.Clone(s.left).(*flowpb.FlowFilter), proto.Clone(s.right).(*flowpb.FlowFilter)
	}
	for _, f := range []*flowpb.FlowFilter{left, right} {
		inNamespaces(&f.SourcePod, s.from)
		inNamespaces(&f.DestinationPod, s.to)
	}
	inNamespaces(&left.SourcePod, s.spaces)
	inNamespaces(&right.DestinationPod, s.spaces)
	if proto.Equal(left, right) {
		return []*flowpb.FlowFilter{left}
	}
	return []*flowpb.FlowFilter{left, right}
}

// inNamespaces puts the pods that name no namespace into each of these.
func inNamespaces(pods *[]string, namespaces []string) {
	if len(namespaces) == 0 {
		return
	}
	if len(*pods) == 0 {
		*pods = []string{""}
	}
	var all []string
	for _, p := range *pods {
		if strings.Contains(p, "/") {
			all = append(all, p)
			continue
		}
		for _, n := range namespaces {
			all = append(all, n+"/"+p)
		}
	}
	*pods = all
}

// meetFilters returns the filter of what both match, unless nothing can.
func meetFilters(a, b *flowpb.FlowFilter) (*flowpb.FlowFilter, bool) {
	source, ok := meetAll(a.SourcePod, b.SourcePod)
	destination, ok2 := meetAll(a.DestinationPod, b.DestinationPod)
	if !ok || !ok2 {
		return nil, false
	}
	both := proto.Clone(a).(*flowpb.FlowFilter)
	for _, w := range []struct {
		mine   *[]*flowpb.Workload
		theirs []*flowpb.Workload
	}{{&both.SourceWorkload, b.SourceWorkload}, {&both.DestinationWorkload, b.DestinationWorkload}} {
		switch {
		case len(*w.mine) == 0:
			*w.mine = w.theirs
		case len(w.theirs) > 0:
			if *w.mine = meetWorkloads(*w.mine, w.theirs); len(*w.mine) == 0 {
				return nil, false
			}
		}
	}
	both.SourcePod, both.DestinationPod = source, destination
	return both, true
}

func meetWorkloads(these, those []*flowpb.Workload) (both []*flowpb.Workload) {
	for _, w := range these {
		if slices.ContainsFunc(those, func(v *flowpb.Workload) bool { return proto.Equal(v, w) }) {
			both = append(both, w)
		}
	}
	return both
}
