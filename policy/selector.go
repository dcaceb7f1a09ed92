package policy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/identity"
)

// LabelNamespace is a key that selectors may use and that every container has: its value is the compose project, or
// "default" for a container of none. Policies written for Kubernetes name it.
const LabelNamespace = "io.kubernetes.pod.namespace"

// DefaultNamespace is the namespace of containers without a compose project.
const DefaultNamespace = "default"

// Operator relates a label to the values of a Requirement.
type Operator uint8

// The operators, as in Kubernetes' label selectors.
const (
	In           Operator = iota // the label exists and has one of the values
	NotIn                        // the label does not exist or has none of the values
	Exists                       // the label exists
	DoesNotExist                 // it does not
)

var operatorNames = [...]string{In: "In", NotIn: "NotIn", Exists: "Exists", DoesNotExist: "DoesNotExist"}

// String is the operator's name in documents.
func (o Operator) String() string { return operatorNames[o] }

// Requirement is one condition on one label.
type Requirement struct {
	Key      string // normalised (identity.NormaliseKey)
	Operator Operator
	Values   []string // sorted; for In and NotIn
}

// Selector is a conjunction of requirements on labels; without any it matches every container.
type Selector struct {
	Requirements []Requirement
}

// NewSelector brings requirements into canonical order, so that equal selectors have equal strings.
func NewSelector(requirements ...Requirement) Selector {
	list := slices.Clone(requirements)
	for i := range list {
		list[i].Values = slices.Compact(slices.Sorted(slices.Values(list[i].Values)))
	}
	slices.SortFunc(list, func(a, b Requirement) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Operator, b.Operator), slices.Compare(a.Values, b.Values))
	})
	list = slices.CompactFunc(list, func(a, b Requirement) bool {
		return a.Key == b.Key && a.Operator == b.Operator && slices.Equal(a.Values, b.Values)
	})
	return Selector{Requirements: list}
}

// Any tells whether the selector matches every container.
func (s Selector) Any() bool { return len(s.Requirements) == 0 }

// Matches tells whether the labels meet every requirement.
func (s Selector) Matches(l identity.Labels) bool {
	for i := range s.Requirements {
		if !s.Requirements[i].matches(l) {
			return false
		}
	}
	return true
}

func (r *Requirement) matches(l identity.Labels) bool {
	value, ok := labelValue(l, r.Key)
	switch r.Operator {
	case In:
		return ok && slices.Contains(r.Values, value)
	case NotIn:
		return !ok || !slices.Contains(r.Values, value)
	case Exists:
		return ok
	default:
		return !ok
	}
}

// labelValue looks a key up, the computed LabelNamespace included.
func labelValue(l identity.Labels, key string) (string, bool) {
	if key == LabelNamespace {
		if project, ok := l[identity.LabelProject]; ok {
			return project, true
		}
		return DefaultNamespace, true
	}
	value, ok := l[key]
	return value, ok
}

// mentionsNamespace tells whether the selector chooses namespaces itself.
func (s Selector) mentionsNamespace() bool {
	return slices.ContainsFunc(s.Requirements, func(r Requirement) bool {
		return r.Key == LabelNamespace || r.Key == identity.LabelProject
	})
}

// inNamespace restricts the selector to a namespace; the empty one restricts nothing.
func (s Selector) inNamespace(namespace string) Selector {
	if namespace == "" {
		return s
	}
	own := Requirement{Key: LabelNamespace, Operator: In, Values: []string{namespace}}
	return NewSelector(append(slices.Clone(s.Requirements), own)...)
}

// anchor is a key and the values of which every match has one, for indexes; ok is false where there is none.
func (s Selector) anchor() (key string, values []string, ok bool) {
	best := -1
	for i, r := range s.Requirements {
		if r.Operator != In {
			continue
		}
		if best < 0 || len(r.Values) < len(s.Requirements[best].Values) ||
			s.Requirements[best].Key == LabelNamespace && len(r.Values) == len(s.Requirements[best].Values) {
			best = i
		}
	}
	if best < 0 {
		return "", nil, false
	}
	return s.Requirements[best].Key, s.Requirements[best].Values, true
}

// String is the canonical form, for people and as a key: `app in (a,b), !debug`; "all" for the empty selector.
func (s Selector) String() string {
	if s.Any() {
		return "all"
	}
	parts := make([]string, len(s.Requirements))
	for i, r := range s.Requirements {
		parts[i] = r.String()
	}
	return strings.Join(parts, ", ")
}

// String writes the requirement with the canonical quoting of labels.
func (r Requirement) String() string {
	key := identity.Quote(r.Key)
	values := make([]string, len(r.Values))
	for i, v := range r.Values {
		values[i] = identity.Quote(v)
	}
	switch {
	case r.Operator == In && len(values) == 1:
		return key + "=" + values[0]
	case r.Operator == In:
		return key + " in (" + strings.Join(values, ",") + ")"
	case r.Operator == NotIn && len(values) == 1:
		return key + "!=" + values[0]
	case r.Operator == NotIn:
		return key + " notin (" + strings.Join(values, ",") + ")"
	case r.Operator == Exists:
		return key
	}
	return "!" + key
}
