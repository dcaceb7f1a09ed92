package filter

import (
	"fmt"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// Limits of what one caller may ask for.
const (
	maxFilters = 1000 // in both lists
	maxValues  = 1000 // of one field
)

// predicate decides about one flow, which is not word of lost ones.
type predicate func(*observe.Flow) bool

// Compile returns the predicate of a whitelist and a blacklist. Both may be empty: everything matches an empty whitelist,
// nothing an empty blacklist. Word of lost flows always passes. The converter names node and cluster, and makes the
// messages that expressions look at. Errors name the field and say what is wrong with it.
func Compile(whitelist, blacklist []*flowpb.FlowFilter, c *convert.Converter) (func(*observe.Flow) bool, error) {
	if n := len(whitelist) + len(blacklist); n > maxFilters {
		return nil, fmt.Errorf("compile filters: there are %d, at most %d are taken", n, maxFilters)
	}
	allow, err := compileList(whitelist, c)
	if err != nil {
		return nil, err
	}
	deny, err := compileList(blacklist, c)
	if err != nil {
		return nil, err
	}
	return func(f *observe.Flow) bool {
		if f.IsLost() {
			return true
		}
		return (len(allow) == 0 || anyOf(allow, f)) && !anyOf(deny, f)
	}, nil
}

func anyOf(list []predicate, f *observe.Flow) bool {
	for _, match := range list {
		if match(f) {
			return true
		}
	}
	return false
}

// compileList returns a predicate for each filter.
func compileList(filters []*flowpb.FlowFilter, c *convert.Converter) ([]predicate, error) {
	var all []predicate
	for _, f := range filters {
		p, err := compileOne(f, c)
		if err != nil {
			return nil, fmt.Errorf("compile filter: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

// compileOne returns the predicate of one filter: all its fields match.
func compileOne(f *flowpb.FlowFilter, c *convert.Converter) (predicate, error) {
	var all []predicate
	for _, compile := range fields {
		name, p, err := compile(f, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if p != nil {
			all = append(all, p)
		}
	}
	return func(f *observe.Flow) bool {
		for _, match := range all {
			if !match(f) {
				return false
			}
		}
		return true
	}, nil
}

// compiler makes the predicate of one field of a filter, nil if the field is not set.
type compiler func(*flowpb.FlowFilter, *convert.Converter) (name string, p predicate, err error)

// field is the compiler of a field whose values are compiled one by one; a flow matches if one of them does.
func field[V any](name string, values func(*flowpb.FlowFilter) []V, compile func(V, *convert.Converter) (predicate, error)) compiler {
	return func(f *flowpb.FlowFilter, c *convert.Converter) (string, predicate, error) {
		list := values(f)
		if len(list) == 0 {
			return name, nil, nil
		}
		if len(list) > maxValues {
			return name, nil, fmt.Errorf("there are %d values, at most %d are taken", len(list), maxValues)
		}
		matchers := make([]predicate, 0, len(list))
		for _, v := range list {
			p, err := compile(v, c)
			if err != nil {
				return name, nil, err
			}
			matchers = append(matchers, p)
		}
		if len(matchers) == 1 {
			return name, matchers[0], nil
		}
		return name, func(f *observe.Flow) bool { return anyOf(matchers, f) }, nil
	}
}

// equals is the compiler of a field of which a flow has exactly one value.
func equals[V comparable](name string, values func(*flowpb.FlowFilter) []V, of func(*observe.Flow, *convert.Converter) V) compiler {
	return field(name, values, func(v V, c *convert.Converter) (predicate, error) {
		return func(f *observe.Flow) bool { return of(f, c) == v }, nil
	})
}
