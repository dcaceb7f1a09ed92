package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/identity"
)

func smallTable() *Table {
	open, closed := Profile{{0, Allow, 0}}, Profile{{0, Deny, 1}}
	web := Profile{{0, Deny, 1}, {Key(ProtocolTCP, 80), Allow, 2}, {Key(ProtocolTCP, 81), Deny, 1}}
	addr := func(s string) netip.Addr { return to16(netip.MustParseAddr(s)) }
	return &Table{
		Defaults:   [Classes]Profile{closed, closed, open, closed},
		Identities: []IdentityProfile{{257, web}, {300, open}},
		CIDRs:      []RangeProfile{{addr("10.0.0.0"), addr("10.0.0.255"), web}, {addr("2001:db8::"), addr("2001:db8::ffff"), open}},
		Rules:      []RuleRef{{"p", RuleDefaultDeny}, {"p", "egress[0]"}},
	}
}

func TestTableLookup(t *testing.T) {
	table := smallTable()
	if err := table.Validate(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		id      identity.ID
		class   Class
		addr    string
		key     uint32
		verdict Verdict
		rule    uint16
	}{
		{"listed identity, port", 257, ClassNetwork, "10.0.0.1", Key(ProtocolTCP, 80), Allow, 2},
		{"listed identity, next port", 257, ClassOther, "10.0.0.1", Key(ProtocolTCP, 81), Deny, 1},
		{"listed identity, last key", 257, ClassNetwork, "10.0.0.1", maxKey, Deny, 1},
		{"identity between", 299, ClassNetwork, "10.0.0.1", Key(ProtocolTCP, 80), Deny, 1},
		{"address does not count for containers", 258, ClassNetwork, "2001:db8::1", 0, Deny, 1},
		{"host", identity.Host, ClassHost, "10.0.0.1", 0, Allow, 0},
		{"world in a range, IPv4", identity.World, ClassWorld, "10.0.0.255", Key(ProtocolTCP, 80), Allow, 2},
		{"world in a range, mapped", identity.World, ClassWorld, "::ffff:10.0.0.0", Key(ProtocolTCP, 80), Allow, 2},
		{"world after a range", identity.World, ClassWorld, "10.0.1.0", Key(ProtocolTCP, 80), Deny, 1},
		{"world before the ranges", identity.World, ClassWorld, "9.255.255.255", 0, Deny, 1},
		{"world, IPv6", identity.World, ClassWorld, "2001:db8::ffff", 0, Allow, 0},
		{"world, the IPv6 twin of an IPv4 address", identity.World, ClassWorld, "::10.0.0.1", Key(ProtocolTCP, 80), Deny, 1},
		{"unknown class is the world", identity.Unknown, Classes, "10.0.0.1", Key(ProtocolTCP, 80), Deny, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, rule := table.Lookup(tt.id, tt.class, netip.MustParseAddr(tt.addr), tt.key)
			if v != tt.verdict || rule != tt.rule {
				t.Errorf("got %s by %d, want %s by %d", v, rule, tt.verdict, tt.rule)
			}
		})
	}
	if v, _ := table.Lookup(identity.World, ClassWorld, netip.Addr{}, 0); v != Deny {
		t.Error("no address")
	}
	if v, _ := (Profile)(nil).Lookup(0); v != Deny {
		t.Error("an empty profile allows")
	}
	if table.Entries() != 4+3+1+3+1 {
		t.Errorf("%d entries", table.Entries())
	}
}

func TestJudgeNil(t *testing.T) {
	for class, want := range map[Class]Verdict{ClassNetwork: Allow, ClassOther: Deny, ClassHost: Allow, ClassWorld: Allow} {
		if v, _ := Judge(Ingress, nil, 300, class, netip.Addr{}, 0); v != want {
			t.Errorf("ingress from %s: %s", class, v)
		}
		if v, _ := Judge(Egress, nil, 300, class, netip.Addr{}, 0); v != Allow {
			t.Errorf("egress to %s: %s", class, v)
		}
	}
}

func TestTableHash(t *testing.T) {
	if smallTable().Hash() != smallTable().Hash() || len(smallTable().Hash()) != 32 {
		t.Error("equal tables differ")
	}
	var none *Table
	if none.Hash() != "" || none.Entries() != 0 || none.Validate() != nil {
		t.Error("nil table")
	}
	changes := map[string]func(*Table){
		"default":     func(t *Table) { t.Defaults[ClassHost] = t.Defaults[ClassWorld] },
		"identity":    func(t *Table) { t.Identities[0].ID++ },
		"no identity": func(t *Table) { t.Identities = t.Identities[:1] },
		"profile":     func(t *Table) { t.Identities[1].Profile = Profile{{0, Deny, 0}} },
		"range":       func(t *Table) { t.CIDRs[0].Last = t.CIDRs[0].Last.Prev() },
		"rule":        func(t *Table) { t.Rules[1].Rule = "egress[1]" },
		"policy":      func(t *Table) { t.Rules[1].Policy = "q" },
		"rule number": func(t *Table) { t.Identities[1].Profile = Profile{{0, Allow, 1}} },
		"less rules":  func(t *Table) { t.Rules = t.Rules[:1] },
	}
	seen := map[string]string{smallTable().Hash(): "none"}
	for name, change := range changes {
		table := smallTable()
		change(table)
		if other, dup := seen[table.Hash()]; dup {
			t.Errorf("change of %s hashes like %s", name, other)
		}
		seen[table.Hash()] = name
	}
}

func TestTableValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Table)
		says   string
	}{
		{"no profile", func(t *Table) { t.Defaults[ClassOther] = nil }, "class other network"},
		{"profile not from 0", func(t *Table) { t.Defaults[0] = Profile{{1, Deny, 0}} }, "start at key 0"},
		{"profile out of order", func(t *Table) { t.Defaults[0] = Profile{{0, Deny, 0}, {5, Allow, 0}, {5, Deny, 0}} }, "out of order"},
		{"key too great", func(t *Table) { t.Defaults[0] = Profile{{0, Deny, 0}, {1 << 24, Allow, 0}} }, "out of order"},
		{"unknown verdict", func(t *Table) { t.Defaults[0] = Profile{{0, 2, 0}} }, "verdict 2"},
		{"unknown rule", func(t *Table) { t.Identities[1].Profile = Profile{{0, Deny, 3}} }, "rule 3 of 2"},
		{"identities out of order", func(t *Table) { t.Identities[1].ID = 257 }, "not after"},
		{"range reversed", func(t *Table) { t.CIDRs[0].First, t.CIDRs[0].Last = t.CIDRs[0].Last, t.CIDRs[0].First }, "ascending"},
		{"ranges overlap", func(t *Table) { t.CIDRs[1].First = t.CIDRs[0].Last }, "not after"},
		{"4-byte address", func(t *Table) { t.CIDRs[0].First = netip.MustParseAddr("10.0.0.0") }, "16-byte"},
		{"bad profile in a range", func(t *Table) { t.CIDRs[0].Profile = nil }, "check range"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := smallTable()
			tt.change(table)
			if err := table.Validate(); !errors.Is(err, ErrBadTable) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTableRule(t *testing.T) {
	table := smallTable()
	for n, want := range map[uint16]string{0: "", 1: "p: default deny", 2: "p: egress[0]", 3: ""} {
		if ref, ok := table.Rule(n); ref.String() != want || ok != (want != "") {
			t.Errorf("rule %d is %q", n, ref)
		}
	}
	if _, ok := (*Table)(nil).Rule(1); ok {
		t.Error("a nil table has a rule")
	}
}

func TestExplain(t *testing.T) {
	w := newWorld(t, documents(
		selectDB+"ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: sql}]}]}]",
		"endpointSelector: {}\ningressDeny: [{fromEndpoints: [{matchLabels: {compose.project: other}}]}]")...)
	tests := []struct {
		name    string
		q       Question
		mode    Mode
		verdict Verdict
		why     string
	}{
		{"allowed", Question{Ingress, idWeb, "", netip.Addr{}, ProtocolTCP, 5432, 0}, ModeDefault, Allow, "p0: ingress[0].toPorts[0] allows it"},
		{"denied", Question{Ingress, idOther, "", netip.Addr{}, ProtocolTCP, 5432, 0}, ModeDefault, Deny, "p1: ingressDeny[0] denies it, which beats p0: ingress[0].toPorts[0]"},
		{"closed", Question{Ingress, idWeb, "", netip.Addr{}, ProtocolUDP, 1, 0}, ModeDefault, Deny, "no rule allows it, and ingress of the container is closed by p0, p1"},
		{"closed by mode", Question{Egress, idWeb, "", netip.Addr{}, ProtocolUDP, 1, 0}, ModeAlways, Deny, "no rule allows it, and egress of the container is closed by " + RuleModeAlways},
		{"open", Question{Egress, idWeb, "", netip.Addr{}, ProtocolUDP, 1, 0}, ModeDefault, Allow, "no rule restricts egress of the container"},
		{"other network", Question{Ingress, 999, "back", netip.Addr{}, ProtocolUDP, 1, 0}, ModeNever, Deny, "containers of different networks need an ingress rule that allows it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.subject.Mode = tt.mode
			a := Explain(w.set, w.subject, w.universe, tt.q)
			if a.Verdict != tt.verdict || a.Why != tt.why {
				t.Errorf("got %s: %s", a.Verdict, a.Why)
			}
		})
	}
	w = newWorld(t)
	w.subject.Isolate = true
	if a := Explain(w.set, w.subject, w.universe, Question{Direction: Ingress, Peer: idWeb}); a.Verdict != Deny || !strings.Contains(a.Why, "isolated") {
		t.Errorf("isolation: %s: %s", a.Verdict, a.Why)
	}
}
