package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/observe"
)

// splitName cuts NAMESPACE/NAME. Without a slash the namespace is the default one, with nothing before it any is meant.
func splitName(s string) (namespace, name string, err error) {
	if s == "" {
		return "", "", errors.New("the name is empty: use NAME, NAMESPACE/NAME, NAMESPACE/ or /NAME")
	}
	namespace, name, ok := strings.Cut(s, "/")
	if !ok {
		return observe.DefaultNamespace, s, nil
	}
	return namespace, name, nil
}

// exactly ends the name of a pod that is meant whole; no container's name has it. It is Sluice's own.
const exactly = "$"

// pod matches the containers whose name begins so, or is so if exactly stands behind it.
func pod(e end) func(string, *converter) (predicate, error) {
	return func(s string, _ *converter) (predicate, error) {
		namespace, prefix, err := splitName(s)
		if err != nil {
			return nil, err
		}
		prefix, exact := strings.CutSuffix(prefix, exactly)
		return func(f *flow) bool {
			p := e(f)
			return named(p.Namespace(), p.PodName(), namespace, prefix) && (!exact || p.PodName() == prefix)
		}, nil
	}
}

// service matches the services whose name begins so.
func service(of func(*flow) (name, namespace string)) func(string, *converter) (predicate, error) {
	return func(s string, _ *converter) (predicate, error) {
		namespace, prefix, err := splitName(s)
		if err != nil {
			return nil, err
		}
		return func(f *flow) bool {
			name, in := of(f)
			return named(in, name, namespace, prefix)
		}, nil
	}
}

// named reports whether something that has a name, or at least a namespace, is what a filter asks for.
func named(namespace, name, wantNamespace, wantPrefix string) bool {
	if namespace == "" && name == "" {
		return false
	}
	return (wantNamespace == "" || namespace == wantNamespace) && strings.HasPrefix(name, wantPrefix)
}

// names matches domain names: *.example.com is any number of labels before it.
func names(of func(*flow) []string) func(string, *converter) (predicate, error) {
	return func(s string, _ *converter) (predicate, error) {
		pattern := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), ".")
		if err := checkPattern(pattern, "-_.*"); err != nil {
			return nil, err
		}
		if strings.HasSuffix(pattern, ".") {
			return nil, fmt.Errorf("%q ends in several dots", s)
		}
		return func(f *flow) bool {
			return slices.ContainsFunc(of(f), func(name string) bool { return wildcard(pattern, name) })
		}, nil
	}
}

// nodeName matches CLUSTER/NODE, with wildcards in both; an empty one means any. A node alone is that of any cluster.
func nodeName(s string, c *converter) (predicate, error) {
	cluster, node, ok := strings.Cut(s, "/")
	if !ok {
		cluster, node = "", s
	}
	if s == "" {
		return nil, errors.New("the pattern is empty")
	}
	if strings.Contains(node, "/") {
		return nil, fmt.Errorf("%q has several slashes: use CLUSTER/NODE", s)
	}
	for _, part := range []*string{&cluster, &node} {
		if *part == "" {
			*part = "*"
		}
		*part = strings.ToLower(*part)
		if err := checkPattern(*part, "-_.*"); err != nil {
			return nil, err
		}
	}
	own := strings.TrimPrefix(c.NodeName(), c.Cluster()+"/")
	match := wildcard(cluster, strings.ToLower(c.Cluster())) && wildcard(node, strings.ToLower(own)) && own != ""
	return func(*flow) bool { return match }, nil
}

// checkPattern refuses what no name has.
func checkPattern(pattern, others string) error {
	if pattern == "" {
		return errors.New("the pattern is empty")
	}
	for _, r := range pattern {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(others, r) {
			return fmt.Errorf("%q has %q, which no name has", pattern, r)
		}
	}
	return nil
}

// wildcard reports whether a text is as a pattern says, in which * is any text, also none.
func wildcard(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}
