package datapath

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/policy"
)

// The peers of the container that is asked about, of network 1.
const (
	neighbour, neighbour6 = "10.1.0.3", "fd00::3"
	stranger, stranger6   = "10.2.0.3", "fd02::3"
	gateway, gateway6     = "10.1.0.1", "fd00::1"
	world, world6         = "192.0.2.9", "2001:db8::9"
)

// peopled enters the peers.
func peopled(t *testing.T, l *Loader) {
	t.Helper()
	for addr, e := range map[string]abi.Endpoint{
		neighbour: {Identity: 300, Network: 1, Slot: 20}, neighbour6: {Identity: 300, Network: 1, Slot: 20},
		stranger: {Identity: 301, Network: 2, Slot: 21}, stranger6: {Identity: 301, Network: 2, Slot: 21},
		gateway:  {Identity: abi.IdentityHost, Flags: abi.EndpointHost},
		gateway6: {Identity: abi.IdentityHost, Flags: abi.EndpointHost},
	} {
		key := abi.FromAddr(netip.MustParseAddr(addr))
		if err := l.Map("endpoints").Put(&key, &e); err != nil {
			t.Fatal(err)
		}
	}
}

// only allows one key by rule 1 and denies the rest by rule 2.
func only(key uint32) *policy.Table {
	p := policy.Profile{{Rule: 2}, {From: key, Verdict: policy.Allow, Rule: 1}, {From: key + 1, Rule: 2}}
	return &policy.Table{Defaults: [policy.Classes]policy.Profile{p, p, p, p},
		Rules: []policy.RuleRef{{Policy: "p", Rule: "allow"}, {Policy: "p", Rule: "deny"}}}
}

// closedTo is only, but that what is denied is denied for want of a rule.
func closedTo(key uint32) *policy.Table {
	t := only(key)
	t.Base = 2
	return t
}

// denied denies one key by an administrator's rule 1, and the rest by another.
func denied(key uint32) *policy.Table {
	p := policy.Profile{{Rule: 2}, {From: key, Rule: 1}, {From: key + 1, Rule: 2}}
	t := only(key)
	t.Defaults, t.Denies = [policy.Classes]policy.Profile{p, p, p, p}, 1
	return t
}

// anyone allows everything by no rule.
func anyone() *policy.Table {
	p := policy.Profile{{Verdict: policy.Allow}}
	return &policy.Table{Defaults: [policy.Classes]policy.Profile{p, p, p, p}}
}

const tcp80, tcp8080 = unix.IPPROTO_TCP<<16 | 80, unix.IPPROTO_TCP<<16 | 8080

// ask is a question, without who is asked about.
type ask struct {
	egress         bool
	proto          uint8 // 0: TCP
	port, hostPort uint16
}

func (a ask) question(peer string) Question {
	q := Question{Direction: policy.Ingress, Peer: netip.MustParseAddr(peer), Protocol: max(a.proto, unix.IPPROTO_TCP), Port: a.port,
		HostPort: a.hostPort}
	if a.egress {
		q.Direction = policy.Egress
	}
	if q.Port == 0 {
		q.Port = 80
	}
	return q
}

func TestPrivilegedExplain(t *testing.T) {
	testutil.Privileged(t)
	for _, c := range []struct {
		about  string
		change func(*Program)
		ask    ask // of TCP port 80 unless it says otherwise
		peers  [2]string
		want   Answer
		passes bool
	}{
		{"open, neighbour", nil, ask{}, [2]string{neighbour, neighbour6}, Answer{PeerIdentity: 300}, true},
		{"open, other network", nil, ask{}, [2]string{stranger, stranger6},
			Answer{Reason: abi.DropOtherNetwork, Class: policy.ClassOther, PeerIdentity: 301}, false},
		{"open, host", nil, ask{}, [2]string{gateway, gateway6}, Answer{Class: policy.ClassHost, PeerIdentity: abi.IdentityHost}, true},
		{"not published", nil, ask{}, [2]string{world, world6},
			Answer{Reason: abi.DropNotPublished, Class: policy.ClassWorld, PeerIdentity: abi.IdentityWorld}, false},
		{"published", nil, ask{hostPort: 8080}, [2]string{world, world6},
			Answer{Class: policy.ClassWorld, PeerIdentity: abi.IdentityWorld}, true},
		{"not masqueraded", func(p *Program) { p.Masquerade = false }, ask{}, [2]string{world, world6},
			Answer{Class: policy.ClassWorld, PeerIdentity: abi.IdentityWorld}, true},
		{"egress to the world", nil, ask{egress: true}, [2]string{world, world6},
			Answer{Class: policy.ClassWorld, PeerIdentity: abi.IdentityWorld}, true},
		{"egress of an internal network", func(p *Program) { p.Internal = true }, ask{egress: true}, [2]string{world, world6},
			Answer{Reason: abi.DropInternal, Class: policy.ClassWorld, PeerIdentity: abi.IdentityWorld}, false},
		{"egress allowed by a rule", func(p *Program) { p.Egress = only(tcp80) }, ask{egress: true},
			[2]string{neighbour, neighbour6}, Answer{Rule: 1, PeerIdentity: 300}, true},
		{"egress denied by a rule", func(p *Program) { p.Egress = only(tcp80) }, ask{egress: true, port: 81},
			[2]string{neighbour, neighbour6}, Answer{Reason: abi.DropPolicyDenied, Rule: 2, PeerIdentity: 300}, false},
		{"UDP", func(p *Program) { p.Ingress = only(unix.IPPROTO_UDP<<16 | 53) }, ask{proto: unix.IPPROTO_UDP, port: 53},
			[2]string{neighbour, neighbour6}, Answer{Rule: 1, PeerIdentity: 300}, true},
		{"SCTP", func(p *Program) { p.Ingress = only(unix.IPPROTO_SCTP<<16 | 53) }, ask{proto: unix.IPPROTO_SCTP, port: 53},
			[2]string{neighbour, neighbour6}, Answer{Rule: 1, PeerIdentity: 300}, true},
		{"audit", func(p *Program) { p.Ingress, p.Enforcement = only(tcp80), policy.Audit }, ask{port: 81},
			[2]string{neighbour, neighbour6}, Answer{Reason: abi.DropPolicyDenied, Rule: 2, PeerIdentity: 300, Enforcement: policy.Audit}, true},
		{"audit, other network", func(p *Program) { p.Ingress, p.Enforcement = only(tcp80), policy.Audit }, ask{port: 81},
			[2]string{stranger, stranger6}, Answer{Reason: abi.DropPolicyDenied, Rule: 2, PeerIdentity: 301, Enforcement: policy.Audit,
				Class: policy.ClassOther}, false},
		{"audit of a container's own, an administrator's deny", func(p *Program) {
			p.Ingress, p.Enforcement, p.KeepDenies = denied(tcp80), policy.Audit, true
		}, ask{}, [2]string{neighbour, neighbour6},
			Answer{Reason: abi.DropPolicyDenied, Rule: 1, PeerIdentity: 300, Enforcement: policy.Audit}, false},
		{"audit of a container's own, another deny", func(p *Program) {
			p.Ingress, p.Enforcement, p.KeepDenies = denied(tcp80), policy.Audit, true
		}, ask{port: 81}, [2]string{neighbour, neighbour6},
			Answer{Reason: abi.DropPolicyDenied, Rule: 2, PeerIdentity: 300, Enforcement: policy.Audit}, true},
		{"audit of an administrator, his deny", func(p *Program) { p.Ingress, p.Enforcement = denied(tcp80), policy.Audit }, ask{},
			[2]string{neighbour, neighbour6},
			Answer{Reason: abi.DropPolicyDenied, Rule: 1, PeerIdentity: 300, Enforcement: policy.Audit}, true},
		{"learn of a container's own, an administrator's deny", func(p *Program) {
			p.Egress, p.Enforcement, p.KeepDenies = denied(tcp80), policy.Learn, true
		}, ask{egress: true}, [2]string{world, world6}, Answer{Reason: abi.DropPolicyDenied, Rule: 1, Class: policy.ClassWorld,
			PeerIdentity: abi.IdentityWorld, Enforcement: policy.Learn}, false},
		{"publish list admits", func(p *Program) { p.Ingress, p.Publish = only(tcp80), only(tcp8080) }, ask{hostPort: 8080},
			[2]string{world, world6}, Answer{Rule: 1, Published: true, Class: policy.ClassWorld,
				PeerIdentity: abi.IdentityWorld}, true},
		{"publish list refuses", func(p *Program) { p.Ingress, p.Publish = only(tcp80), only(tcp8080) }, ask{hostPort: 8081},
			[2]string{neighbour, neighbour6}, Answer{Reason: abi.DropPublishDenied, Rule: 2, Published: true,
				PeerIdentity: 300}, false},
		{"publish list audited", func(p *Program) { p.Publish, p.Enforcement = only(tcp8080), policy.Audit }, ask{hostPort: 8081},
			[2]string{world, world6}, Answer{Reason: abi.DropPublishDenied, Rule: 2, Published: true, Enforcement: policy.Audit,
				Class: policy.ClassWorld, PeerIdentity: abi.IdentityWorld}, true},
		{"publish list admits where ingress is closed", func(p *Program) { p.Ingress, p.Publish = closedTo(22), only(tcp8080) },
			ask{hostPort: 8080}, [2]string{world, world6}, Answer{Rule: 1, Published: true, Class: policy.ClassWorld,
				PeerIdentity: abi.IdentityWorld}, true},
		{"ingress denies what the publish list admits", func(p *Program) { p.Ingress, p.Publish = only(tcp80|1), only(tcp8080) },
			ask{hostPort: 8080}, [2]string{world, world6}, Answer{Reason: abi.DropPolicyDenied, Rule: 2, Class: policy.ClassWorld,
				PeerIdentity: abi.IdentityWorld}, false},
		{"publish list says nothing, ingress is closed", func(p *Program) { p.Ingress, p.Publish = closedTo(22), anyone() },
			ask{hostPort: 8080}, [2]string{world, world6}, Answer{Reason: abi.DropPolicyDenied, Rule: 2, Class: policy.ClassWorld,
				PeerIdentity: abi.IdentityWorld}, false},
		{"publish list is not asked of others", func(p *Program) { p.Publish = only(tcp8080) }, ask{},
			[2]string{neighbour, neighbour6}, Answer{PeerIdentity: 300}, true},
	} {
		t.Run(c.about, func(t *testing.T) {
			dir := pinDir(t)
			l := openLoader(t, dir)
			peopled(t, l)
			p := sample(7)
			p.Revision = 5
			if c.change != nil {
				c.change(&p)
			}
			mustReplace(t, l, p)
			c.want.Revision = 5
			c.want.unenforced = c.want.Enforcement != policy.Enforce && c.passes
			again := openLoader(t, dir) // a daemon that was started anew loads nothing
			for _, peer := range c.peers {
				for _, l := range []*Loader{l, again} {
					got, err := l.Explain(7, c.ask.question(peer))
					if err != nil || got != c.want || got.Passes() != c.passes {
						t.Errorf("%s: %+v (passes: %t), %v; want %+v (passes: %t)", peer, got, got.Passes(), err, c.want, c.passes)
					}
				}
			}
			unmarked(t, l)
		})
	}
}

// unmarked: the maps say nothing of any packet.
func unmarked(t *testing.T, l *Loader) {
	t.Helper()
	for _, name := range []string{"metrics", "slots"} {
		var key uint32
		var perCPU []abi.Counter
		for entries := l.Map(name).Iterate(); entries.Next(&key, &perCPU); {
			for _, n := range perCPU {
				if n.Packets != 0 {
					t.Errorf("map %s counts %d packets at %d", name, n.Packets, key)
				}
			}
		}
	}
	for _, name := range []string{"flows_tcp", "flows_any", "nat"} {
		if key, err := l.Map(name).NextKeyBytes(nil); key != nil {
			t.Errorf("map %s has an entry (%v)", name, err)
		}
	}
	var kind uint32
	var budgets []abi.Budget
	for entries := l.Map("event_budget").Iterate(); entries.Next(&kind, &budgets); {
		for _, b := range budgets {
			if b.Refilled != 0 || b.Lost != 0 {
				t.Errorf("an event of type %d was told", kind)
			}
		}
	}
}

// ICMP is asked by type and code; a ping of either family.
func TestPrivilegedExplainICMP(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	peopled(t, l)
	for _, c := range []struct {
		proto uint8
		echo  uint16
		peer  string
	}{{unix.IPPROTO_ICMP, 8 << 8, neighbour}, {unix.IPPROTO_ICMPV6, 128 << 8, neighbour6}} {
		p := sample(7)
		p.Egress = only(uint32(c.proto)<<16 | uint32(c.echo))
		mustReplace(t, l, p)
		q := Question{Direction: policy.Egress, Peer: netip.MustParseAddr(c.peer), Protocol: c.proto, Port: c.echo}
		if a, err := l.Explain(7, q); err != nil || a.Reason != abi.DropNone || a.Rule != 1 {
			t.Errorf("protocol %d: %+v, %v", c.proto, a, err)
		}
		for _, unjudged := range []uint16{3 << 8, 5 << 8, 135 << 8} {
			q.Port = unjudged
			if _, err := l.Explain(7, q); !errors.Is(err, ErrNoPolicy) && (c.proto == unix.IPPROTO_ICMPV6 || unjudged != 135<<8) {
				t.Errorf("protocol %d, type %d: error %v", c.proto, unjudged>>8, err)
			}
		}
	}
	unmarked(t, l)
}

func TestPrivilegedExplainRefuses(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	only4 := sample(1)
	only4.IPv6 = netip.Prefix{}
	mustReplace(t, l, only4)
	closed := sample(2)
	closed.Closed = true
	mustReplace(t, l, closed)
	q := Question{Direction: policy.Ingress, Peer: netip.MustParseAddr(world), Protocol: unix.IPPROTO_TCP, Port: 80}
	q6 := q
	q6.Peer = netip.MustParseAddr(world6)
	for _, c := range []struct {
		slot uint32
		q    Question
		want error
	}{{l.Slots(), q, ErrSlot}, {9, q, ErrNoProgram}, {1, q6, ErrNoAddress}} {
		if _, err := l.Explain(c.slot, c.q); !errors.Is(err, c.want) {
			t.Errorf("slot %d: error %v, want %v", c.slot, err, c.want)
		}
	}
	for _, d := range []policy.Direction{policy.Egress, policy.Ingress} {
		q.Direction = d
		if a, err := l.Explain(2, q); err != nil || a.Reason != abi.DropClosed {
			t.Errorf("closed, %s: %+v, %v", d, a, err)
		}
	}
	unmarked(t, l)
}

// Who is large is asked all the same: rules keep their numbers, also those of a search.
func TestPrivilegedExplainLargeTable(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	table := &policy.Table{Rules: make([]policy.RuleRef, 3000)}
	for i := range 3000 {
		table.Identities = append(table.Identities, policy.IdentityProfile{ID: identity.ID(300 + i),
			Profile: policy.Profile{{Verdict: policy.Allow, Rule: uint16(i + 1)}}})
	}
	for c := range table.Defaults {
		table.Defaults[c] = policy.Profile{{}}
	}
	p := sample(1)
	p.Ingress = table
	mustReplace(t, l, p)
	for _, i := range []uint32{0, 255, 2999} {
		addr := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		key := abi.FromAddr(addr)
		if err := l.Map("endpoints").Put(&key, &abi.Endpoint{Identity: 300 + i, Network: 1}); err != nil {
			t.Fatal(err)
		}
		a, err := l.Explain(1, Question{Direction: policy.Ingress, Peer: addr, Protocol: unix.IPPROTO_TCP, Port: 80})
		if err != nil || a.Reason != abi.DropNone || uint32(a.Rule) != i+1 {
			t.Errorf("peer %d: %+v, %v", i, a, err)
		}
	}
}

// Questions are asked while packets pass and programs are replaced.
func TestPrivilegedExplainDuringReplace(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	peopled(t, l)
	p := sample(1)
	mustReplace(t, l, p)
	done := make(chan error, 1)
	go func() {
		var err error
		for range 20 {
			p.Revision++
			err = errors.Join(err, l.Replace(context.Background(), p))
		}
		done <- err
	}()
	for replacing := true; replacing; {
		a, err := l.Explain(1, Question{Direction: policy.Ingress, Peer: netip.MustParseAddr(neighbour), Protocol: unix.IPPROTO_TCP, Port: 80})
		if err != nil || !a.Passes() || a.PeerIdentity != 300 {
			t.Errorf("%+v, %v", a, err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			replacing = false
		default:
		}
	}
}
