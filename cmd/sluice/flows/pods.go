package flows

import "strings"

// Hubble's servers select endpoints by "namespace/name", where the name is a prefix and an empty namespace is any. A
// daemon of Sluice takes "namespace/name$" for exactly that name: names of containers often begin alike.
const exactly = "$"

// defaultNamespace is where hubble looks for a pod without namespace.
const defaultNamespace = "default"

// pod is such a pattern.
type pod struct {
	namespace string // empty: any
	name      string
	exact     bool
}

func parsePod(s string) pod {
	namespace, name, found := strings.Cut(s, "/")
	if !found {
		namespace, name = defaultNamespace, s
	}
	name, exact := strings.CutSuffix(name, exactly)
	return pod{namespace, name, exact}
}

func (p pod) String() string {
	if p.exact {
		return p.namespace + "/" + p.name + exactly
	}
	return p.namespace + "/" + p.name
}

// matches tells whether an endpoint is meant. No pattern means one without a name.
func (p pod) matches(namespace, name string) bool {
	if p.namespace != "" && p.namespace != namespace {
		return false
	}
	if p.exact {
		return name == p.name
	}
	return name != "" && strings.HasPrefix(name, p.name) || p.name == "" && p.namespace != ""
}

// meet returns the pattern of what both mean, if there is any.
func (p pod) meet(q pod) (pod, bool) {
	if p.namespace == "" {
		p.namespace = q.namespace
	}
	if q.namespace != "" && q.namespace != p.namespace {
		return pod{}, false
	}
	if len(p.name) < len(q.name) || p.name == q.name && q.exact {
		p.name, p.exact, q.name, q.exact = q.name, q.exact, p.name, p.exact
	}
	return p, strings.HasPrefix(p.name, q.name) && (!q.exact || p.name == q.name)
}

// meetAll returns the patterns of what some of one list and some of the other mean; an empty list means everything.
func meetAll(these, those []string) (both []string, possible bool) {
	if len(these) == 0 || len(those) == 0 {
		return append(these, those...), true
	}
	for _, p := range these {
		for _, q := range those {
			if m, ok := parsePod(p).meet(parsePod(q)); ok {
				both = append(both, m.String())
			}
		}
	}
	return both, len(both) > 0
}
