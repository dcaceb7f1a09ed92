package metrics

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// Contexts are the labels of a metric that say who the ends of a flow are.
type Contexts struct {
	source, destination sideContext
	labels              []string // of labelsContext
}

// sideContext makes the label source or destination: the first of the contexts that says anything. Those of a direction
// come before those of both, if there are any.
type sideContext struct{ both, egress, ingress []string }

// The options that take contexts.
var contextOptions = []string{
	"sourceContext", "sourceEgressContext", "sourceIngressContext",
	"destinationContext", "destinationEgressContext", "destinationIngressContext", "labelsContext",
}

// end is one end of a flow.
type end struct {
	party *observe.Party
	ip    string
	names []string
}

// sideContexts are the contexts of a label source or destination.
var sideContexts = []struct {
	name  string
	value func(e end) string
}{
	{"app", app},
	{"dns", func(e end) string { return strings.Join(e.names, ",") }},
	{"identity", func(e end) string { return strings.Join(labels(e.party), ",") }},
	{"ip", func(e end) string { return e.ip }},
	{"namespace", func(e end) string { return e.party.Namespace() }},
	{"pod", func(e end) string { return inNamespace(e.party, e.party.PodName()) }},
	{"pod-name", func(e end) string { return e.party.PodName() }},
	{"reserved-identity", reserved},
	{"workload", func(e end) string { return inNamespace(e.party, workload(e)) }},
	{"workload-name", workload},
}

// endLabels are the labels that labelsContext adds of an end, behind source_ and destination_: Hubble's, then our own.
var endLabels = []struct {
	name  string
	value func(e end) string
}{
	{"app", app},
	{"ip", func(e end) string { return e.ip }},
	{"namespace", func(e end) string { return e.party.Namespace() }},
	{"pod", func(e end) string { return e.party.PodName() }},
	{"workload", workload},
	{"workload_kind", func(e end) string { _, kind := convert.Workload(e.party); return kind }},
	{"project", func(e end) string { return e.party.Project }},
	{"service", func(e end) string { return e.party.Service }},
	{"container", func(e end) string { return e.party.Name() }},
	{"network", func(e end) string { return e.party.Network }},
}

// trafficDirection is the label of labelsContext that is of no end.
const trafficDirection = "traffic_direction"

func inNamespace(p *observe.Party, name string) string {
	if name == "" {
		return ""
	}
	return p.Namespace() + "/" + name
}

func workload(e end) string { name, _ := convert.Workload(e.party); return name }

func app(e end) string {
	for _, key := range []string{"k8s-app", "app.kubernetes.io/name", "app"} {
		if v := e.party.Labels[key]; v != "" {
			return v
		}
	}
	return workload(e)
}

func labels(p *observe.Party) []string {
	var all []string
	for _, l := range convert.Labels(p) {
		all = append(all, l.String())
	}
	return all
}

func reserved(e end) string {
	for _, l := range convert.Labels(e.party) {
		if l.Source == convert.SourceReserved {
			return l.String()
		}
	}
	return ""
}

// set sets an option; known is false of others than those of contextOptions.
func (c *Contexts) set(option, value string) (known bool, err error) {
	var into *[]string
	switch option {
	case "labelsContext":
		c.labels, err = checked(strings.Split(value, ","), labelNames())
		return true, err
	case "sourceContext":
		into = &c.source.both
	case "sourceEgressContext":
		into = &c.source.egress
	case "sourceIngressContext":
		into = &c.source.ingress
	case "destinationContext":
		into = &c.destination.both
	case "destinationEgressContext":
		into = &c.destination.egress
	case "destinationIngressContext":
		into = &c.destination.ingress
	default:
		return false, nil
	}
	var valid []string
	for _, s := range sideContexts {
		valid = append(valid, s.name)
	}
	*into, err = checked(strings.Split(value, "|"), valid)
	return true, err
}

// checked returns the values, each once, if all are valid.
func checked(values, valid []string) ([]string, error) {
	var all []string
	for _, v := range values {
		if !slices.Contains(valid, v) {
			return nil, fmt.Errorf("unknown value %q: use %s", v, strings.Join(valid, ", "))
		}
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all, nil
}

// labelNames are the values of labelsContext.
func labelNames() []string {
	var all []string
	for _, side := range []string{"source_", "destination_"} {
		for _, l := range endLabels {
			all = append(all, side+l.name)
		}
	}
	return append(all, trafficDirection)
}

func (s sideContext) used() bool { return len(s.both)+len(s.egress)+len(s.ingress) > 0 }

// names are the labels that the contexts add to a metric.
func (c Contexts) names() []string {
	all := slices.Clone(c.labels)
	if c.source.used() {
		all = append(all, "source")
	}
	if c.destination.used() {
		all = append(all, "destination")
	}
	return all
}

// byAddress reports whether labels depend on more than who the ends are, so that their values have no end.
func (c Contexts) byAddress() bool {
	for _, s := range []sideContext{c.source, c.destination} {
		for _, name := range slices.Concat(s.both, s.egress, s.ingress) {
			if name == "ip" || name == "dns" {
				return true
			}
		}
	}
	return slices.ContainsFunc(c.labels, func(l string) bool { return strings.HasSuffix(l, "_ip") })
}

// values returns the values of the labels for a flow, in the order of names, and whether any of those of an end says
// something.
func (c Contexts) values(f *observe.Flow) (all []string, source, destination bool) {
	from := end{party: f.Source, names: f.SourceNames}
	to := end{party: f.Destination, names: f.DestinationNames}
	if a := f.Src(); a.IsValid() {
		from.ip, to.ip = a.String(), f.Dst().String()
	}
	for _, label := range c.labels {
		value := ""
		switch side, name, _ := strings.Cut(label, "_"); {
		case label == trafficDirection:
			value = f.Direction().String()
		case side == "source":
			value = endLabel(name, from)
			source = source || value != ""
		default:
			value = endLabel(name, to)
			destination = destination || value != ""
		}
		all = append(all, value)
	}
	if c.source.used() {
		value := c.source.value(from, f.Direction())
		all, source = append(all, value), source || value != ""
	}
	if c.destination.used() {
		value := c.destination.value(to, f.Direction())
		all, destination = append(all, value), destination || value != ""
	}
	return all, source, destination
}

func endLabel(name string, e end) string {
	for _, l := range endLabels {
		if l.name == name {
			return l.value(e)
		}
	}
	return ""
}

// value is the first context that says something.
func (s sideContext) value(e end, d observe.Direction) string {
	contexts := s.both
	if d == observe.Egress && len(s.egress) > 0 {
		contexts = s.egress
	} else if d == observe.Ingress && len(s.ingress) > 0 {
		contexts = s.ingress
	}
	for _, name := range contexts {
		for _, c := range sideContexts {
			if c.name != name {
				continue
			}
			if v := c.value(e); v != "" {
				return v
			}
		}
	}
	return ""
}
