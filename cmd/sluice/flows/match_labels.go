package flows

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// hasLabels tells whether one of the selectors, as Kubernetes writes them, fits the labels: "a=b,c!=d", "a in (b,c)",
// "a notin (b)", "a", "!a". A key without source, or of the source any, means that of every source.
func hasLabels(selectors, labels []string) bool {
	have := map[string]string{}
	for _, l := range labels {
		name, value, _ := strings.Cut(l, "=")
		have[name] = value
		if _, key, found := strings.Cut(name, ":"); found {
			if _, taken := have[key]; !taken {
				have[key] = value
			}
		}
	}
	return slices.ContainsFunc(selectors, func(s string) bool {
		for _, r := range requirements(s) {
			if !r(have) {
				return false
			}
		}
		return true
	})
}

// setRequirement is "key in (a, b)" or "key notin (a, b)".
var setRequirement = regexp.MustCompile(`^(\S+)\s+(in|notin)\s*\(([^)]*)\)$`)

// requirements splits a selector at the commas that are not within brackets.
func requirements(selector string) (all []func(have map[string]string) bool) {
	depth := 0
	for _, part := range strings.FieldsFunc(selector, func(r rune) bool {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		return r == ',' && depth == 0
	}) {
		all = append(all, requirement(strings.TrimSpace(part)))
	}
	return all
}

func requirement(s string) func(have map[string]string) bool {
	key := func(k string) string { return strings.TrimPrefix(strings.TrimSpace(k), "any:") }
	if m := setRequirement.FindStringSubmatch(s); m != nil {
		var values []string
		for v := range strings.SplitSeq(m[3], ",") {
			values = append(values, strings.TrimSpace(v))
		}
		return func(have map[string]string) bool {
			v, there := have[key(m[1])]
			return (there && slices.Contains(values, v)) == (m[2] == "in")
		}
	}
	if absent, found := strings.CutPrefix(s, "!"); found {
		return func(have map[string]string) bool { _, there := have[key(absent)]; return !there }
	}
	if k, v, found := strings.Cut(s, "!="); found {
		return func(have map[string]string) bool { return have[key(k)] != strings.TrimSpace(v) }
	}
	k, v, found := strings.Cut(s, "=")
	v = strings.TrimPrefix(v, "=")
	return func(have map[string]string) bool {
		value, there := have[key(k)]
		return there && (!found || value == strings.TrimSpace(v))
	}
}

// compileL7 returns the tests about HTTP and DNS.
func compileL7(w *flowpb.FlowFilter) (all []test, err error) {
	patterns := func(texts []string, of func(*flowpb.Flow) string) error {
		var some []*regexp.Regexp
		for _, t := range texts {
			re, err := regexp.Compile(t)
			if err != nil {
				return fmt.Errorf("select flows by %q: %w", t, err)
			}
			some = append(some, re)
		}
		if len(some) > 0 {
			all = append(all, func(f *flowpb.Flow) bool {
				return f.GetL7() != nil && slices.ContainsFunc(some, func(re *regexp.Regexp) bool { return re.MatchString(of(f)) })
			})
		}
		return nil
	}
	if err := patterns(w.GetDnsQuery(), func(f *flowpb.Flow) string { return f.GetL7().GetDns().GetQuery() }); err != nil {
		return nil, err
	}
	if err := patterns(w.GetHttpUrl(), func(f *flowpb.Flow) string { return f.GetL7().GetHttp().GetUrl() }); err != nil {
		return nil, err
	}
	if err := patterns(w.GetHttpPath(), func(f *flowpb.Flow) string { return urlPath(f.GetL7().GetHttp().GetUrl()) }); err != nil {
		return nil, err
	}
	if m := w.GetHttpMethod(); len(m) > 0 {
		all = append(all, func(f *flowpb.Flow) bool {
			have := f.GetL7().GetHttp().GetMethod()
			return have != "" && slices.ContainsFunc(m, func(s string) bool { return strings.EqualFold(s, have) })
		})
	}
	if c := w.GetHttpStatusCode(); len(c) > 0 {
		all = append(all, func(f *flowpb.Flow) bool { return hasStatus(c, f.GetL7().GetHttp().GetCode()) })
	}
	if h := w.GetHttpHeader(); len(h) > 0 {
		all = append(all, func(f *flowpb.Flow) bool {
			return slices.ContainsFunc(f.GetL7().GetHttp().GetHeaders(), func(have *flowpb.HTTPHeader) bool {
				return slices.ContainsFunc(h, func(want *flowpb.HTTPHeader) bool {
					return strings.EqualFold(want.GetKey(), have.GetKey()) && want.GetValue() == have.GetValue()
				})
			})
		})
	}
	return all, nil
}

// hasStatus matches a code or the beginning of codes: 404, 5+.
func hasStatus(wanted []string, code uint32) bool {
	have := strconv.Itoa(int(code))
	return code != 0 && slices.ContainsFunc(wanted, func(w string) bool {
		if prefix, found := strings.CutSuffix(w, "+"); found {
			return strings.HasPrefix(have, prefix)
		}
		return w == have
	})
}

func urlPath(url string) string {
	if _, rest, found := strings.Cut(url, "://"); found {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			url = rest[i:]
		} else {
			url = "/"
		}
	}
	p, _, _ := strings.Cut(url, "?")
	return p
}
