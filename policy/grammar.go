package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

// The grammar of labels and of the short form:
//
//	list  = item *( "," item )
//	item  = peer [ ":" ports ]
//	peer  = "@" group / SERVICE / PROJECT "/" SERVICE / "name:" CONTAINER / "net:" NETWORK / "label:" labels
//	      / ADDRESS / CIDR / "[" IPv6 address or CIDR "]" / DOMAIN
//	ports = PROTOCOL / alternatives [ "/" PROTOCOL ]                       grammar_ports.go
//	labels = "*" / requirement *( "&" requirement )                        grammar_labels.go
//
// Blanks around items count for nothing. Commas within braces, parentheses and quotes do not separate items.

// groups are the peers that start with @.
var groups = map[string]Entity{
	"net": EntityNet, "host": EntityHost, "lan": EntityLAN, "internet": EntityInternet, "cluster": EntityCluster,
	"any": EntityAll, "none": EntityNone, "world": EntityWorld,
}

// peerKinds are the words that stand before a colon and a name.
var peerKinds = []string{"name", "net", "label"}

// fault is what is wrong with a value, and where: at is an offset in bytes.
type fault struct {
	at     int
	reason string
}

func faultf(at int, format string, args ...any) *fault {
	return &fault{at: at, reason: fmt.Sprintf(format, args...)}
}

// column is where a fault is in a value, in characters from 1.
func (f *fault) column(value string) int {
	return utf8.RuneCountInString(value[:min(f.at, len(value))]) + 1
}

// term is one item of a list.
type term struct {
	text    string // without blanks around it
	at      int    // where it starts in the value
	peer    Peer
	portsAt int  // where the ports start in the value
	anyPort bool // no ports are given
	ports   []Port
}

// splitItems cuts a list at its commas.
func splitItems(value string) ([]term, *fault) {
	var (
		items []term
		open  []int // offsets of brackets that are open
		quote = -1
		start = 0
	)
	closers := map[byte]byte{')': '(', '}': '{', ']': '['}
	for i := 0; i <= len(value); i++ {
		switch {
		case i == len(value) && quote >= 0:
			return nil, faultf(quote, "the quote is not closed")
		case i == len(value) && len(open) > 0:
			return nil, faultf(open[len(open)-1], "%q is not closed", value[open[len(open)-1]])
		case i == len(value) || value[i] == ',' && len(open) == 0 && quote < 0:
			text := strings.TrimSpace(value[start:i])
			if text == "" {
				return nil, missingItem(value, start, i)
			}
			items = append(items, term{text: text, at: start + strings.Index(value[start:i], text)})
			start = i + 1
		case quote >= 0:
			if value[i] == '\\' {
				i = min(i+1, len(value)-1)
			} else if value[i] == '"' {
				quote = -1
			}
		case value[i] == '"':
			quote = i
		case value[i] == '(' || value[i] == '{' || value[i] == '[':
			open = append(open, i)
		case closers[value[i]] != 0:
			if len(open) == 0 || value[open[len(open)-1]] != closers[value[i]] {
				return nil, faultf(i, "%q closes nothing", value[i])
			}
			open = open[:len(open)-1]
		}
	}
	return items, nil
}

func missingItem(value string, start, end int) *fault {
	if strings.TrimSpace(value) == "" {
		return faultf(0, "the list is empty: write @none for nobody, @any for everybody")
	}
	return faultf(min(start, end), "an item is missing here: remove the comma")
}

// parseItems reads a list of `peer[:ports]`. It returns the items that are right and what is wrong with the others.
func parseItems(value string) (items []term, faults []*fault) {
	split, f := splitItems(value)
	if f != nil {
		return nil, []*fault{f}
	}
	for _, i := range split {
		if f := i.parse(); f != nil {
			faults = append(faults, f)
			continue
		}
		items = append(items, i)
	}
	return items, faults
}

func (i *term) parse() *fault {
	peer, ports, f := i.cut()
	if f != nil {
		return f
	}
	if f := i.parsePeer(peer); f != nil {
		return f
	}
	i.anyPort = ports < 0
	if ports < 0 {
		return nil
	}
	i.portsAt = i.at + ports
	return i.parsePorts(i.text[ports:])
}

// cut separates the peer from the ports, whose offset in the text is returned, or -1.
func (i *term) cut() (peer string, ports int, f *fault) {
	text := i.text
	switch {
	case text[0] == '[':
		end := strings.IndexByte(text, ']')
		switch rest := text[end+1:]; {
		case rest == "":
			return text[1:end], -1, nil
		case rest[0] == ':':
			return text[1:end], end + 2, nil
		}
		return "", 0, faultf(i.at+end+1, "after the address in brackets come a colon and ports, or nothing")
	case looksLikeIPv6(text):
		return text, -1, nil
	}
	from := 0
	for _, kind := range peerKinds {
		if strings.HasPrefix(text, kind+":") {
			from = len(kind) + 1
		}
	}
	if from == 0 && strings.Count(text, ":") > 1 && blanksHint(text) == "" {
		return "", 0, faultf(i.at, "%s has several colons: a port follows one, and IPv6 addresses with ports stand in brackets, [2001:db8::1]:443", shorten(text))
	}
	if colon := indexOutside(text[from:], ':'); colon >= 0 {
		return text[:from+colon], from + colon + 1, nil
	}
	return text, -1, nil
}

// looksLikeIPv6 tells addresses and prefixes from `peer:port`.
func looksLikeIPv6(s string) bool {
	s, _, _ = strings.Cut(s, "/")
	return strings.Count(s, ":") >= 2 && strings.Trim(s, "0123456789abcdefABCDEF:.%") == ""
}

// indexOutside finds a byte outside quotes and parentheses, or returns -1.
func indexOutside(s string, c byte) int {
	quoted, depth := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case quoted:
		case s[i] == c && depth == 0:
			return i
		case s[i] == '(':
			depth++
		case s[i] == ')':
			depth--
		}
	}
	return -1
}

func (i *term) parsePeer(s string) (f *fault) {
	name, isGroup := strings.CutPrefix(s, "@")
	container, isName := strings.CutPrefix(s, "name:")
	network, isNet := strings.CutPrefix(s, "net:")
	labels, isLabel := strings.CutPrefix(s, "label:")
	switch {
	case s == "":
		return faultf(i.at, "the peer is missing before %s: write @any%s for everybody", shorten(i.text), i.text)
	case isGroup:
		i.peer.Entity, f = parseGroup(name, i.at)
	case isName:
		i.peer.Selector, f = builtin(labelName, "container", container, i.at+len("name:"))
	case isNet:
		i.peer.Selector, f = builtin(labelNetwork, "network", network, i.at+len("net:"))
	case isLabel:
		i.peer.Selector, f = parseLabels(labels, i.at+len("label:"))
	case looksLikeAddress(s):
		i.peer.Prefix, f = parseCIDR(s, i.at)
	default:
		i.peer, f = parseName(s, i.at)
	}
	return f
}

func parseGroup(name string, at int) (Entity, *fault) {
	if e, ok := groups[name]; ok {
		return e, nil
	}
	names := make([]string, 0, len(groups))
	for _, n := range []string{"net", "host", "lan", "internet", "cluster", "any", "none"} {
		names = append(names, "@"+n)
	}
	return "", faultf(at, "unknown group %s%s", shorten("@"+name), suggest("@"+name, names))
}

// builtin is a selector on one of Sluice's own labels.
func builtin(key, what, value string, at int) (*Selector, *fault) {
	if !isWord(value) {
		return nil, faultf(at, "%s is not the name of a %s%s", shorten(value), what, blanksHint(value))
	}
	s := NewSelector(Requirement{Key: key, Operator: In, Values: []string{value}})
	return &s, nil
}

// isWord accepts what Docker accepts as the name of a container, network, project or service.
func isWord(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
		if !letter && (i == 0 || r != '-' && r != '.') {
			return false
		}
	}
	return s != ""
}

func blanksHint(s string) string {
	if strings.ContainsAny(s, " \t\n;|") {
		return ": separate items by commas"
	}
	return ""
}

// looksLikeAddress tells addresses and prefixes from names: before a slash there is a colon, or nothing but digits and
// at least one dot.
func looksLikeAddress(s string) bool {
	s, _, _ = strings.Cut(s, "/")
	return strings.Contains(s, ":") || strings.Contains(s, ".") && strings.Trim(s, "0123456789.") == ""
}

func parseCIDR(s string, at int) (netip.Prefix, *fault) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		if addr, e := netip.ParseAddr(s); e == nil && addr.Zone() == "" {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
	}
	switch {
	case err != nil && strings.Contains(s, ":"):
		return prefix, faultf(at, "%s is neither an IPv6 address nor a prefix: write 2001:db8::1, 2001:db8::/32, or with ports [2001:db8::/32]:443", shorten(s))
	case err != nil:
		return prefix, faultf(at, "%s is neither an IPv4 address nor a prefix: write 192.0.2.1 or 192.0.2.0/24", shorten(s))
	case prefix.Addr().Is4In6():
		return prefix, faultf(at, "%s: write IPv4 addresses in the IPv4 form", shorten(s))
	}
	return prefix.Masked(), nil
}

// parseName reads what is left: a service, one of another project, or a domain.
func parseName(s string, at int) (Peer, *fault) {
	project, service, qualified := strings.Cut(s, "/")
	switch {
	case isNumber(project) && !qualified, isNumber(project) && protocolKnown(service):
		return Peer{}, faultf(at, "%s is a port without a peer: write @any:%s for everybody", shorten(s), s)
	case qualified && isWord(project) && isWord(service):
		sel := NewSelector(Requirement{Key: labelProject, Operator: In, Values: []string{project}},
			Requirement{Key: labelService, Operator: In, Values: []string{service}})
		return Peer{Selector: &sel}, nil
	case qualified:
		return Peer{}, faultf(at, "%s is neither PROJECT/SERVICE nor a prefix such as 192.0.2.0/24%s", shorten(s), blanksHint(s))
	case strings.ContainsAny(s, ".*"):
		return parseDomain(s, at)
	case slices.Contains(peerKinds, s):
		return Peer{}, faultf(at, "%s: what? write %s:NAME, or PROJECT/%s for a service of that name", s, s, s)
	case groups[s] != "":
		return Peer{}, faultf(at, "%s would be a service of that name: write @%s for the group, or PROJECT/%s", shorten(s), s, s)
	case strings.ContainsAny(s, "=!") && blanksHint(s) == "":
		return Peer{}, faultf(at, "%s is not a peer: write label:%s", shorten(s), s)
	case !isWord(s):
		return Peer{}, faultf(at, "%s is not a peer%s", shorten(s), peerHint(s))
	}
	sel := NewSelector(Requirement{Key: labelService, Operator: In, Values: []string{s}})
	return Peer{Selector: &sel, SameProject: true}, nil
}

func peerHint(s string) string {
	if hint := blanksHint(s); hint != "" {
		return hint
	}
	return ": write a service, PROJECT/SERVICE, name:CONTAINER, net:NETWORK, label:KEY=VALUE, an address, a prefix, or one of " +
		"@net, @host, @lan, @internet, @cluster, @any, @none"
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789-") == "" }

// parseDomain reads a name of the DNS, with *. (one level) or **. (any depth) before it.
func parseDomain(s string, at int) (Peer, *fault) {
	if s == "*" {
		return Peer{}, faultf(at, "write @any for everybody")
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	base := strings.TrimPrefix(strings.TrimPrefix(name, "**."), "*.")
	labels := strings.Split(base, ".")
	bad := func(l string) bool {
		return l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != ""
	}
	if strings.Contains(base, "*") {
		return Peer{}, faultf(at, "%s: the wildcard stands alone before the first dot: *.example.com (one level) or **.example.com (any depth)", shorten(s))
	}
	if len(base) > 253 || slices.ContainsFunc(labels, bad) {
		return Peer{}, faultf(at, "%s is not a domain such as example.com%s", shorten(s), blanksHint(s))
	}
	return Peer{Domain: name}, nil
}
