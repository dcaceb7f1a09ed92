package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/identity"
)

// LabelPolicyName is the name of the policy that a container's own labels are; documents may not use it.
const LabelPolicyName = "labels"

// LabelPrefix starts every label that Sluice reads.
const LabelPrefix = "sluice."

// labelReader reads the labels of one container.
type labelReader struct {
	labels   identity.Labels
	rule     Rule
	problems Problems
	// alone: the container has other labels, which are not known. What depends on them is not judged.
	alone bool
}

// labelReaders are the labels with a fixed key, without LabelPrefix.
var labelReaders = map[string]func(r *labelReader, key, value string){
	"egress":       func(r *labelReader, key, value string) { r.list(key, value, Egress, false) },
	"ingress":      func(r *labelReader, key, value string) { r.list(key, value, Ingress, false) },
	"egress.deny":  func(r *labelReader, key, value string) { r.list(key, value, Egress, true) },
	"ingress.deny": func(r *labelReader, key, value string) { r.list(key, value, Ingress, true) },
	"publish":      func(r *labelReader, key, value string) { r.publish(key, value, 0, 0) },
	"rate.egress":  func(r *labelReader, key, value string) { r.rate(key, value, Egress) },
	"rate.ingress": func(r *labelReader, key, value string) { r.rate(key, value, Ingress) },
	"profile":      (*labelReader).preset,
	"mode":         (*labelReader).mode,
	"observe":      (*labelReader).level,
}

const (
	prefixPublish = LabelPrefix + "publish."
	prefixPort    = identity.PrefixPort
)

// LabelKeys lists the labels that Sluice reads, for people and completion.
func LabelKeys() []string {
	keys := []string{prefixPublish + "HOSTPORT", prefixPort + "NAME"}
	for key := range labelReaders {
		keys = append(keys, LabelPrefix+key)
	}
	slices.Sort(keys)
	return keys
}

// LabelPolicy returns the policy that a container's own labels (sluice.egress and the others that docs/policy.md lists)
// are; nil: they say nothing. The error is Problems with the label as Path and the place in its value, in the order of
// the keys.
func LabelPolicy(l identity.Labels) (*Policy, error) {
	r := labelReader{labels: l}
	return r.policy()
}

// CheckLabels returns the error that LabelPolicy has for every container with these labels, whatever others it has.
func CheckLabels(l identity.Labels) error {
	r := labelReader{labels: l, alone: true}
	_, err := r.policy()
	return err
}

func (r *labelReader) policy() (*Policy, error) {
	l := r.labels
	found := false
	for _, key := range ownKeys(l) {
		found = true
		r.label(key, l[key])
	}
	switch {
	case len(r.problems) > 0:
		return nil, r.problems
	case !found:
		return nil, nil
	}
	return &Policy{Name: LabelPolicyName, Origin: OriginLabel, Rules: []Rule{r.rule}}, nil
}

// ownKeys are the keys of the labels that are settings for Sluice, or meant to be (Sluice.Egress), sorted.
func ownKeys(l identity.Labels) []string {
	var keys []string
	for key := range l {
		own := len(key) >= len(LabelPrefix) && strings.EqualFold(key[:len(LabelPrefix)], LabelPrefix)
		if own && key != labelNetwork && key != labelName {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (r *labelReader) label(key, value string) {
	name := strings.TrimPrefix(key, LabelPrefix)
	port, isPublish := strings.CutPrefix(key, prefixPublish)
	read := labelReaders[name]
	switch {
	case read != nil:
		read(r, key, value)
	case isPublish:
		number, protocol, reason := publishedPort(port)
		if reason != "" {
			r.fail(key, 0, "%s", reason)
			return
		}
		r.publish(key, value, number, protocol)
	case strings.HasPrefix(key, prefixPort):
		if _, err := parseNamedPort(strings.TrimPrefix(key, prefixPort), value); err != nil {
			r.fail(key, 1, "%s: %v", shorten(value), err)
		}
	default:
		r.fail(key, 0, "Sluice knows no such label%s", suggestKey(strings.ToLower(key)))
	}
}

// suggestKey is suggest for labels: what starts like the word comes first.
func suggestKey(key string) string {
	keys := LabelKeys()
	if slices.Contains(keys, key) {
		return ", did you mean " + key + "?"
	}
	if i := slices.IndexFunc(keys, func(k string) bool { return strings.HasPrefix(k, key+".") }); i >= 0 {
		return ", did you mean " + keys[i] + "?"
	}
	return suggest(key, keys)
}

// publishedPort reads the HOSTPORT of a key, which may have a protocol: "53/udp".
func publishedPort(s string) (port uint16, protocol uint8, reason string) {
	number, proto, ok := strings.Cut(s, "/")
	if ok {
		protocol = protocolNames[strings.ToUpper(proto)]
		if !hasPorts(protocol) {
			return 0, 0, fmt.Sprintf("%s is not the protocol of a published port: tcp, udp or sctp", shorten(proto))
		}
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return 0, 0, fmt.Sprintf("%s is not a port of the host: write sluice.publish.8080 or sluice.publish.53/udp; for every published port sluice.publish", shorten(number))
	}
	return uint16(n), protocol, ""
}

// fail notes a problem with a label; column 0: with its key.
func (r *labelReader) fail(key string, column int, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, Problem{Path: key, Column: column, Value: r.labels[key], Reason: fmt.Sprintf(format, args...)})
	}
}

func (r *labelReader) faults(key, value string, faults ...*fault) {
	for _, f := range faults {
		r.fail(key, f.column(value), "%s", f.reason)
	}
}

func (r *labelReader) list(key, value string, d Direction, deny bool) {
	terms, faults := parseItems(value)
	r.faults(key, value, faults...)
	for i := range terms {
		t := &terms[i]
		for _, f := range r.check(t, d) {
			r.faults(key, value, f)
		}
		r.rule.Clauses = append(r.rule.Clauses, t.clause(d, deny, itemPath(key, i, t.text), 0))
	}
	if !deny {
		r.rule.Close[d] = true
	}
}

// itemPath names an item so that it can be read alone.
func itemPath(list string, i int, text string) string { return fmt.Sprintf("%s[%d] %s", list, i, text) }

// clause is what an item means.
func (t *term) clause(d Direction, deny bool, path string, line int) Clause {
	c := Clause{Path: path, Line: line, Direction: d, Deny: deny, Peers: []Peer{t.peer}, AnyPort: t.anyPort}
	if !t.anyPort {
		c.Ports = []PortRule{{Path: path, Line: line, Ports: t.ports}}
	}
	return c
}

// check finds what is right by the grammar but can never be.
func (r *labelReader) check(t *term, d Direction) []*fault {
	faults := slices.DeleteFunc([]*fault{t.checkPeer(), t.checkNames(d)}, func(f *fault) bool { return f == nil })
	if r.alone {
		return faults
	}
	if _, ok := r.labels[labelProject]; t.peer.SameProject && !ok {
		faults = append(faults, faultf(t.at, "the container is of no compose project, so there is no service %s beside it: write name:%s for a container, or PROJECT/%s",
			t.peer.service(), t.peer.service(), t.peer.service()))
	}
	if d != Ingress {
		return faults
	}
	own, _ := PortsFromLabels(r.labels)
	for _, p := range t.ports {
		if p.Name != "" && len(resolveNamed([]Port{p}, own)) == 0 {
			names := make([]string, 0, len(own))
			for i := range own {
				if own[i].Name != p.Name {
					names = append(names, own[i].Name)
					continue
				}
				faults = append(faults, faultf(t.portsAt, "the container's port %s is not of protocol %s: leave the protocol out", p.Name, protocolName(p.Protocol)))
				return faults
			}
			faults = append(faults, faultf(t.portsAt, "the container has no port of the name %s%s; a label %s%s=PORT gives it one",
				p.Name, nearestOnly(p.Name, names), prefixPort, p.Name))
		}
	}
	return faults
}

// whyDomain is why domains are refused after they were read.
const whyDomain = "DNS policy is not available yet: write the addresses as prefixes, or @internet"

func (t *term) checkPeer() *fault {
	if t.peer.Domain == "" {
		return nil
	}
	return faultf(t.at, "%s is a domain, and %s", t.peer.Domain, whyDomain)
}

// wellKnown are numbers of names that people use where there are no named ports.
var wellKnown = map[string]int{"http": 80, "https": 443, "dns": 53, "domain": 53, "ssh": 22, "ntp": 123, "smtp": 25, "imaps": 993, "postgres": 5432, "mysql": 3306, "redis": 6379}

// checkNames refuses named ports of peers that have none.
func (t *term) checkNames(d Direction) *fault {
	if d != Egress || !t.peer.nameless() {
		return nil
	}
	for _, p := range t.ports {
		if number, known := wellKnown[p.Name]; known {
			return faultf(t.portsAt, "only containers have named ports: write %d for %s", number, p.Name)
		}
		if p.Name != "" {
			return faultf(t.portsAt, "only containers have named ports: write the number of %s", p.Name)
		}
	}
	return nil
}

// nameless tells whether a peer has no named ports: only containers do.
func (p Peer) nameless() bool {
	return p.Prefix.IsValid() || p.Domain != "" || slices.Contains([]Entity{EntityHost, EntityLAN, EntityInternet, EntityWorld}, p.Entity)
}

// service is the service of the same project that a peer means.
func (p Peer) service() string {
	for _, r := range p.Selector.Requirements {
		if r.Key == labelService && r.Operator == In && len(r.Values) == 1 {
			return r.Values[0]
		}
	}
	return ""
}

func (r *labelReader) publish(key, value string, port uint16, protocol uint8) {
	terms, faults := parseItems(value)
	r.faults(key, value, faults...)
	rule := PublishRule{Path: key, Port: port, Protocol: protocol}
	for i := range terms {
		t := &terms[i]
		for _, f := range r.check(t, Egress) {
			r.faults(key, value, f)
		}
		if f := t.publishFault(port); f != nil {
			r.faults(key, value, f)
			continue
		}
		own := rule
		own.Path, own.Peers = itemPath(key, i, t.text), []Peer{t.peer}
		r.rule.Publish = append(r.rule.Publish, own)
	}
}

// publishFault refuses ports in the list of a published port.
func (t *term) publishFault(port uint16) *fault {
	if t.anyPort && t.portsAt == 0 {
		return nil
	}
	if port != 0 {
		return faultf(t.portsAt-1, "the published port %d stands in the key; list peers without ports", port)
	}
	return faultf(t.portsAt-1, "list peers without ports; a label sluice.publish.HOSTPORT is about one published port")
}

func (r *labelReader) rate(key, value string, d Direction) {
	rate, f := parseRate(value)
	if f != nil {
		r.faults(key, value, f)
	}
	r.rule.Rates[d] = rate
}

func (r *labelReader) preset(key, value string) {
	p, reason := parsePreset(value)
	if reason != "" {
		r.fail(key, 1, "%s", reason)
	}
	r.rule.Preset = p
}

func (r *labelReader) mode(key, value string) {
	e, reason := parseMode(value)
	if reason != "" {
		r.fail(key, 1, "%s", reason)
	}
	r.rule.Enforcement = &e
}

func (r *labelReader) level(key, value string) {
	l, reason := parseLevel(value)
	if reason != "" {
		r.fail(key, 1, "%s", reason)
	}
	r.rule.Level = l
}

func parsePreset(s string) (Preset, string) {
	if i := slices.Index(presetNames[:], s); i > 0 {
		return Preset(i), ""
	}
	return PresetNone, fmt.Sprintf("%s is not a profile%s", shorten(s), suggest(s, presetNames[1:]))
}

func parseMode(s string) (Enforcement, string) {
	if i := slices.Index(enforcementNames[:], s); i >= 0 {
		return Enforcement(i), ""
	}
	return Enforce, fmt.Sprintf("%s is not a mode%s", shorten(s), suggest(s, enforcementNames[:]))
}
