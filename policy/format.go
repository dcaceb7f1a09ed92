package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ErrNotExpressible is what the Format functions' errors are where a form has no words for what a policy says.
var ErrNotExpressible = errors.New("cannot be expressed")

// String is the peer as a label writes it; a prefix with exceptions as "PREFIX except PREFIX", which labels cannot say.
func (p Peer) String() string {
	switch {
	case p.Domain != "":
		return p.Domain
	case p.Entity != "":
		return formatEntity(p.Entity)
	case p.Selector != nil:
		return formatSelector(p.Selector, p.SameProject)
	}
	s := formatPrefix(p.Prefix)
	for i, e := range p.Except {
		s += []string{" except ", ", "}[min(i, 1)] + formatPrefix(e)
	}
	return s
}

func formatEntity(e Entity) string {
	for name, known := range groups {
		if e == known {
			return "@" + name
		}
	}
	return "@" + string(e)
}

func formatPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// formatSelector writes a selector in the shortest form that the grammar has for it.
func formatSelector(s *Selector, sameProject bool) string {
	only := func(keys ...string) ([]string, bool) {
		if len(keys) != len(s.Requirements) {
			return nil, false
		}
		values := make([]string, len(keys))
		for i, r := range s.Requirements { // sorted by key
			if r.Key != keys[i] || r.Operator != In || len(r.Values) != 1 || !isWord(r.Values[0]) {
				return nil, false
			}
			values[i] = r.Values[0]
		}
		return values, true
	}
	if v, ok := only(labelService); ok && sameProject && bareService(v[0]) {
		return v[0]
	}
	if v, ok := only(labelProject, labelService); ok && !sameProject && !isNumber(v[0]) && !looksLikeAddress(v[0]) {
		return v[0] + "/" + v[1]
	}
	if v, ok := only(labelName); ok && !sameProject {
		return "name:" + v[0]
	}
	if v, ok := only(labelNetwork); ok && !sameProject {
		return "net:" + v[0]
	}
	return "label:" + formatRequirements(s)
}

// bareService tells whether a service's name alone is read as a service.
func bareService(name string) bool {
	return !strings.Contains(name, ".") && groups[name] == "" && !isNumber(name) && !slices.Contains(peerKinds, name)
}

func formatRequirements(s *Selector) string {
	if s.Any() {
		return "*"
	}
	parts := make([]string, len(s.Requirements))
	for i, r := range s.Requirements {
		key := quoteWord(r.Key)
		values := make([]string, len(r.Values))
		for i, v := range r.Values {
			values[i] = quoteWord(v)
		}
		switch {
		case r.Operator == Exists:
			parts[i] = key
		case r.Operator == DoesNotExist:
			parts[i] = "!" + key
		case len(values) == 1:
			parts[i] = key + []string{In: "=", NotIn: "!="}[r.Operator] + values[0]
		default:
			parts[i] = key + []string{In: " in (", NotIn: " notin ("}[r.Operator] + strings.Join(values, ", ") + ")"
		}
	}
	return strings.Join(parts, "&")
}

// quoteWord quotes what the grammar would not read as one word.
func quoteWord(s string) string {
	plain := s != ""
	for _, r := range s {
		plain = plain && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._/-@+", r))
	}
	if plain {
		return s
	}
	return strconv.Quote(s)
}

// formatPorts writes alternatives of ports as the parts of items behind the peer; "" is every port. Named ports are left
// out for peers that have none.
func formatPorts(c *Clause, nameless bool) ([]string, error) {
	if c.AnyPort {
		return []string{""}, nil
	}
	var order []string
	byProtocol := map[string][]string{}
	for _, pr := range c.Ports {
		for _, p := range pr.Ports {
			if p.Name != "" && nameless {
				continue
			}
			number, protocol, err := formatPort(p)
			if err != nil {
				return nil, err
			}
			if protocol == "/any" && number == "*" {
				return []string{""}, nil
			}
			if byProtocol[protocol] == nil {
				order = append(order, protocol)
			}
			byProtocol[protocol] = append(byProtocol[protocol], number)
		}
	}
	list := make([]string, 0, len(order))
	for _, protocol := range order {
		numbers := byProtocol[protocol]
		text := numbers[0]
		if len(numbers) > 1 {
			text = "{" + strings.Join(numbers, ",") + "}"
		}
		list = append(list, ":"+text+protocol)
	}
	return list, nil
}

// formatPort writes a port, and its protocol with the slash.
func formatPort(p Port) (number, protocol string, err error) {
	protocol = "/any"
	if !p.AnyProtocol {
		protocol = "/" + strings.ToLower(protocolName(p.Protocol))
		if !protocolKnown(protocol[1:]) {
			return "", "", fmt.Errorf("write port %s: %w: the protocol has no name", p, ErrNotExpressible)
		}
	}
	icmp := !p.AnyProtocol && (p.Protocol == ProtocolICMP || p.Protocol == ProtocolICMPv6)
	switch {
	case p.Name != "" && p.AnyProtocol:
		return p.Name, "", nil
	case p.Name != "":
		return p.Name, protocol, nil
	case p.First == 0 && p.Last == 0xffff:
		return "*", protocol, nil
	case icmp && p.First&0xff == 0 && p.Last == p.First|0xff:
		return strconv.Itoa(int(p.First >> 8)), protocol, nil
	case icmp || p.First == 0 || !p.AnyProtocol && !hasPorts(p.Protocol):
		return "", "", fmt.Errorf("write port %s: %w: there are no words for a part of a message type, or for port 0", p, ErrNotExpressible)
	}
	number = strconv.Itoa(int(p.First))
	if p.Last != p.First {
		number += "-" + strconv.Itoa(int(p.Last))
	}
	if protocol == "/tcp" {
		protocol = ""
	}
	return number, protocol, nil
}

// formatPeers writes peers as the grammar has them: prefixes with exceptions become the prefixes that are left.
func formatPeers(peers []Peer) ([]string, error) {
	var list []string
	for _, p := range peers {
		if len(p.Except) == 0 {
			text := p.String()
			if p.SameProject && strings.HasPrefix(text, "label:") {
				return nil, fmt.Errorf("write peer %s: %w: only a service is of the same project", text, ErrNotExpressible)
			}
			list = append(list, text)
			continue
		}
		for _, r := range subtract(p.Prefix, p.Except) {
			for _, prefix := range prefixesOf(r) {
				list = append(list, formatPrefix(prefix))
			}
		}
	}
	return list, nil
}

// formatClauses writes the items of one list of a rule. A list that closes but allows nothing is @none.
func formatClauses(r *Rule, d Direction, deny bool) ([]string, error) {
	var items []string
	for i := range r.Clauses {
		c := &r.Clauses[i]
		if c.Direction != d || c.Deny != deny {
			continue
		}
		for _, peer := range c.Peers {
			texts, err := formatItems(c, peer)
			if err != nil {
				return nil, err
			}
			items = append(items, texts...)
		}
	}
	if len(items) == 0 && !deny && r.Close[d] {
		items = []string{"@none"}
	}
	return items, nil
}

// formatItems writes the items that a clause is for one of its peers.
func formatItems(c *Clause, peer Peer) (items []string, err error) {
	ports, err := formatPorts(c, c.Direction == Egress && peer.nameless())
	if err != nil {
		return nil, err
	}
	peers, err := formatPeers([]Peer{peer})
	if err != nil {
		return nil, err
	}
	for _, text := range peers {
		for _, port := range ports {
			if port != "" && peer.Prefix.IsValid() && strings.Contains(text, ":") {
				items = append(items, "["+text+"]"+port)
				continue
			}
			items = append(items, text+port)
		}
	}
	return items, nil
}

// prefixesOf covers a range with prefixes, those of IPv4 in their own form.
func prefixesOf(r addrRange) []netip.Prefix {
	var list []netip.Prefix
	if first, last := r.first.Unmap(), r.last.Unmap(); first.Is4() == last.Is4() {
		r = addrRange{first, last}
	}
	for at := r.first; ; {
		bits := at.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(at, bits-1)
			if wider.Masked().Addr() != at || r.last.Less(lastAddr(wider)) {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(at, bits)
		list = append(list, p)
		end := lastAddr(p)
		if end == r.last {
			return list
		}
		at = end.Next()
	}
}

// FormatLabels writes the rules of a policy as the labels of a container, whomever it selects: LabelPolicy reads them
// back as the same rules. The error wraps ErrNotExpressible.
func FormatLabels(p *Policy) (map[string]string, error) {
	labels := map[string]string{}
	enter := func(key, value string) {
		if before := labels[LabelPrefix+key]; before != "" && value != "" {
			value = before + ", " + value
		}
		labels[LabelPrefix+key] = value
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if i > 0 && !sameSettings(r, &p.Rules[0]) {
			return nil, fmt.Errorf("write policy %s as labels: %w: its rules differ in rate, mode or profile", p.Key(), ErrNotExpressible)
		}
		if err := formatRule(r, enter); err != nil {
			return nil, fmt.Errorf("write policy %s as labels: %w", p.Key(), err)
		}
	}
	for key, value := range labels {
		if key != LabelPrefix+"egress" && key != LabelPrefix+"ingress" {
			continue
		}
		if items := strings.Split(value, ", "); len(items) > 1 { // @none beside others says nothing
			labels[key] = strings.Join(slices.DeleteFunc(items, func(s string) bool { return s == "@none" }), ", ")
			if labels[key] == "" {
				labels[key] = "@none"
			}
		}
	}
	if len(p.Rules) > 0 {
		formatSettings(&p.Rules[0], func(key, value string) { labels[LabelPrefix+key] = value })
	}
	return labels, nil
}

func sameSettings(a, b *Rule) bool {
	mode := func(r *Rule) string {
		if r.Enforcement == nil {
			return ""
		}
		return r.Enforcement.String()
	}
	return mode(a) == mode(b) && a.Rates == b.Rates && a.Preset == b.Preset && a.Level == b.Level
}

// formatRule hands out the lists of a rule by label, without the prefix.
func formatRule(r *Rule, enter func(key, value string)) error {
	for d := range directions {
		for _, deny := range []bool{false, true} {
			items, err := formatClauses(r, d, deny)
			switch key := d.String(); {
			case err != nil:
				return err
			case deny && len(items) > 0:
				enter(key+".deny", strings.Join(items, ", "))
			case len(items) > 0 && !r.Close[d]:
				return fmt.Errorf("%w: %s is allowed without being closed (enableDefaultDeny)", ErrNotExpressible, key)
			case len(items) > 0:
				enter(key, strings.Join(items, ", "))
			}
		}
	}
	for i := range r.Publish {
		pub := &r.Publish[i]
		key := "publish"
		if pub.Port != 0 {
			key += "." + pub.portText()
		}
		peers, err := publishPeers(pub)
		if err != nil {
			return err
		}
		enter(key, strings.Join(peers, ", "))
	}
	return nil
}

func publishPeers(pub *PublishRule) ([]string, error) {
	if len(pub.Peers) == 0 {
		return []string{"@none"}, nil
	}
	return formatPeers(pub.Peers)
}

func formatSettings(r *Rule, enter func(key, value string)) {
	for d, rate := range r.Rates {
		if rate.BitsPerSecond != 0 {
			enter("rate."+Direction(d).String(), rate.String())
		}
	}
	if r.Preset != PresetNone {
		enter("profile", r.Preset.String())
	}
	if r.Enforcement != nil {
		enter("mode", r.Enforcement.String())
	}
	if r.Level != LevelUnset {
		enter("observe", r.Level.String())
	}
}
