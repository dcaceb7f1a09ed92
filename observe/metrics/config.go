package metrics

import (
	"fmt"
	"slices"
	"strings"
)

// Default are the metrics of a daemon that is not told otherwise.
const Default = "drop:labelsContext=" + bothContainers + " flow:labelsContext=" + bothContainers +
	" policy:labelsContext=" + bothContainers + " flows-to-world:labelsContext=" + sourceContainer +
	" port-distribution:labelsContext=destination_project,destination_service icmp:labelsContext=" + sourceContainer +
	" tcp:labelsContext=" + bothContainers

const (
	sourceContainer = "source_project,source_service,source_container"
	bothContainers  = sourceContainer + ",destination_project,destination_service,destination_container"
)

// Config are the metrics that are wanted, each once.
type Config []Wanted

// Wanted is one metric with its options.
type Wanted struct {
	Name     string // as Hubble's settings call it: drop, flow, …
	Flags    []string
	Contexts Contexts
}

// has reports whether an option without value is set.
func (w Wanted) has(flag string) bool { return slices.Contains(w.Flags, flag) }

// Parse reads a list of metrics, NAME[:OPTION[=VALUE][;OPTION[=VALUE]]…], separated by spaces.
func Parse(list string) (Config, error) {
	var c Config
	for _, word := range strings.Fields(list) {
		w, err := parseWanted(word)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(c, func(other Wanted) bool { return other.Name == w.Name }) {
			return nil, fmt.Errorf("metric %q: it is named twice", w.Name)
		}
		c = append(c, w)
	}
	return c, nil
}

func parseWanted(word string) (Wanted, error) {
	name, options, some := strings.Cut(word, ":")
	w := Wanted{Name: name}
	k := kindOf(name)
	if k == nil {
		return w, fmt.Errorf("unknown metric %q: use %s, separated by spaces", name, strings.Join(kindNames(), ", "))
	}
	if !some {
		return w, nil
	}
	for _, option := range strings.Split(options, ";") {
		name, value, valued := strings.Cut(option, "=")
		if slices.Contains(k.flags, name) {
			if valued && value != "true" {
				return w, fmt.Errorf("metric %q: option %s has no value", w.Name, name)
			}
			w.Flags = append(w.Flags, name)
			continue
		}
		known, err := w.Contexts.set(name, value)
		if err != nil {
			return w, fmt.Errorf("metric %q: option %s: %w", w.Name, name, err)
		}
		if !known {
			valid := slices.Concat(k.flags, contextOptions)
			return w, fmt.Errorf("metric %q: unknown option %q: use %s", w.Name, name, strings.Join(valid, ", "))
		}
	}
	return w, nil
}
