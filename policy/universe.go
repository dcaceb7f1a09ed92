package policy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sluice-net/sluice/identity"
)

// KnownIdentity is an identity that some container has.
type KnownIdentity struct {
	ID     identity.ID
	Labels identity.Labels
	// Network is the name of the Sluice network; empty: the label sluice.network.
	Network string
	// Ports are the named ports of the identity's containers; nil: those that its labels give (PortsFromLabels).
	Ports []NamedPort
}

// Universe is every identity that containers have now. It does not change and may be used from several goroutines.
type Universe struct {
	peers     []KnownIdentity // sorted by ID
	byLabel   map[string]map[string][]int
	withPort  map[string][]int // name of a port → peers that have it
	lan       []netip.Prefix
	lanRanges []addrRange
	answers   *answers
}

// answers remembers what selectors match.
type answers struct {
	mu      sync.Mutex
	matches map[string][]int // canonical selector → peers
}

// NewUniverse makes a universe; an identity that occurs twice, with the same labels, counts once with all its ports.
// Reserved identities are left out: they are classes of their own.
func NewUniverse(known ...KnownIdentity) *Universe {
	u := &Universe{byLabel: map[string]map[string][]int{}, withPort: map[string][]int{}, answers: &answers{matches: map[string][]int{}}}
	u.lanRanges = lanRanges(nil)
	sorted := slices.Clone(known)
	slices.SortStableFunc(sorted, func(a, b KnownIdentity) int { return cmp.Compare(a.ID, b.ID) })
	for _, k := range sorted {
		if k.ID.Reserved() {
			continue
		}
		if k.Network == "" {
			k.Network = k.Labels[identity.LabelNetwork]
		}
		if k.Ports == nil {
			k.Ports, _ = PortsFromLabels(k.Labels)
		}
		if n := len(u.peers); n > 0 && u.peers[n-1].ID == k.ID {
			u.peers[n-1].Ports = slices.Concat(u.peers[n-1].Ports, k.Ports)
			continue
		}
		u.peers = append(u.peers, k)
	}
	for i, k := range u.peers {
		u.indexPeer(i, k)
	}
	return u
}

func (u *Universe) indexPeer(i int, k KnownIdentity) {
	enter := func(key, value string) {
		byValue := u.byLabel[key]
		if byValue == nil {
			byValue = map[string][]int{}
			u.byLabel[key] = byValue
		}
		byValue[value] = append(byValue[value], i)
	}
	for key, value := range k.Labels {
		if key != LabelNamespace {
			enter(key, value)
		}
	}
	namespace, _ := labelValue(k.Labels, LabelNamespace)
	enter(LabelNamespace, namespace)
	for _, p := range k.Ports {
		if list := u.withPort[p.Name]; len(list) == 0 || list[len(list)-1] != i {
			u.withPort[p.Name] = append(list, i)
		}
	}
}

// WithLAN returns the same universe on a host whose on-link and private routes are these prefixes. The entity lan is
// these and what localPrefixes lists, the entity internet is the rest of the world. Resolve anew when they change.
func (u *Universe) WithLAN(prefixes []netip.Prefix) *Universe {
	other := *u
	other.lan = slices.Clone(prefixes)
	other.lanRanges = lanRanges(prefixes)
	return &other
}

// List returns the identities sorted by ID.
func (u *Universe) List() []KnownIdentity {
	if u == nil {
		return nil
	}
	return slices.Clone(u.peers)
}

// Get returns an identity.
func (u *Universe) Get(id identity.ID) (KnownIdentity, bool) {
	if u == nil {
		return KnownIdentity{}, false
	}
	if i := u.index(id); i >= 0 {
		return u.peers[i], true
	}
	return KnownIdentity{}, false
}

// index returns the place of an identity among the peers, or -1.
func (u *Universe) index(id identity.ID) int {
	i, ok := slices.BinarySearchFunc(u.peers, id, func(k KnownIdentity, id identity.ID) int { return cmp.Compare(k.ID, id) })
	if !ok {
		return -1
	}
	return i
}

// matching returns the indexes of the peers that a selector matches, ascending. Answers are remembered.
func (u *Universe) matching(s compiledSelector) []int {
	u.answers.mu.Lock()
	defer u.answers.mu.Unlock()
	if list, ok := u.answers.matches[s.key]; ok {
		return list
	}
	list := []int{}
	visit := func(i int) {
		if s.selector.Matches(u.peers[i].Labels) {
			list = append(list, i)
		}
	}
	if key, values, ok := s.selector.anchor(); ok {
		for _, v := range values {
			for _, i := range u.byLabel[key][v] {
				visit(i)
			}
		}
		slices.Sort(list)
	} else {
		for i := range u.peers {
			visit(i)
		}
	}
	u.answers.matches[s.key] = list
	return list
}

// ErrBadPort marks a label sluice.port.NAME that does not say a port.
var ErrBadPort = errors.New("invalid named port")

// PortsFromLabels reads the named ports of a container from its labels: sluice.port.NAME with the value PORT or
// PORT/tcp, /udp or /sctp. The error, for the caller to show, wraps ErrBadPort; the valid ports are returned with it.
func PortsFromLabels(l identity.Labels) ([]NamedPort, error) {
	var (
		ports []NamedPort
		errs  []error
	)
	for _, key := range l.Keys() {
		name, ok := strings.CutPrefix(key, identity.PrefixPort)
		if !ok {
			continue
		}
		port, err := parseNamedPort(name, l[key])
		if err != nil {
			errs = append(errs, fmt.Errorf("read label %s=%q: %w", key, l[key], err))
			continue
		}
		ports = append(ports, port)
	}
	return ports, errors.Join(errs...)
}

func parseNamedPort(name, value string) (NamedPort, error) {
	name = strings.ToLower(name)
	if !isPortName(name) {
		return NamedPort{}, fmt.Errorf("%w: a name has 1 to 15 letters, digits and single dashes, at least one letter", ErrBadPort)
	}
	number, proto, ok := strings.Cut(value, "/")
	protocol := uint8(ProtocolTCP)
	if ok {
		switch strings.ToUpper(proto) {
		case "TCP":
		case "UDP":
			protocol = ProtocolUDP
		case "SCTP":
			protocol = ProtocolSCTP
		default:
			return NamedPort{}, fmt.Errorf("%w: protocol %q is not tcp, udp or sctp", ErrBadPort, proto)
		}
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil || port == 0 {
		return NamedPort{}, fmt.Errorf("%w: write PORT or PORT/tcp|udp|sctp with a port from 1 to 65535", ErrBadPort)
	}
	return NamedPort{Name: name, Protocol: protocol, Port: uint16(port)}, nil
}

// isPortName tells whether a string is a service name (RFC 6335, section 5.1) in lower case.
func isPortName(s string) bool {
	if len(s) < 1 || len(s) > 15 || s[0] == '-' || s[len(s)-1] == '-' || strings.Contains(s, "--") {
		return false
	}
	letters := false
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z':
			letters = true
		case r >= '0' && r <= '9', r == '-':
		default:
			return false
		}
	}
	return letters
}
