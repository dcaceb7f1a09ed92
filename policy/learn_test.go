package policy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/identity"
)

func TestLearn(t *testing.T) {
	world := func(d Direction, protocol uint8, port uint16, addrs ...string) (list []Seen) {
		for _, a := range addrs {
			list = append(list, Seen{Direction: d, Addr: netip.MustParseAddr(a), Protocol: protocol, Port: port})
		}
		return list
	}
	for _, tt := range []struct {
		name string
		seen []Seen
		want identity.Labels
	}{
		{"nothing", nil, identity.Labels{"sluice.egress": "@none", "sluice.ingress": "@none"}},
		{"services and ports", []Seen{{Peer: "db", Protocol: ProtocolTCP, Port: 5432}, {Peer: "db", Protocol: ProtocolTCP, Port: 5432},
			{Peer: "db", Protocol: ProtocolTCP, Port: 80}, {Peer: "db", Protocol: ProtocolUDP, Port: 53},
			{Direction: Ingress, Peer: "name:job", Protocol: ProtocolTCP, Port: 80}, {Direction: Ingress, Peer: "@host", Protocol: ProtocolICMP, Port: 8 << 8}},
			identity.Labels{"sluice.egress": "db:53/udp, db:{80,5432}", "sluice.ingress": "@host:8/icmp, name:job:80"}},
		{"a protocol without ports", []Seen{{Peer: "db", Protocol: 47}, {Peer: "db", Protocol: ProtocolTCP, Port: 80}},
			identity.Labels{"sluice.egress": "db", "sluice.ingress": "@none"}},
		{"some addresses", world(Egress, ProtocolTCP, 443, "8.8.8.8", "2001:4860::1", "192.168.1.7"),
			identity.Labels{"sluice.egress": "192.168.1.7:443, 8.8.8.8:443, [2001:4860::1]:443", "sluice.ingress": "@none"}},
		{"many addresses", append(world(Egress, ProtocolTCP, 443, "8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4", "8.8.8.5"),
			world(Egress, ProtocolUDP, 53, "192.168.1.1", "192.168.1.2", "192.168.1.3", "192.168.1.4", "fd00::1")...),
			identity.Labels{"sluice.egress": "192.168.1.0/24:53/udp, @internet:443, [fd00::/64]:53/udp", "sluice.ingress": "@none"}},
		{"all over the LAN", world(Ingress, ProtocolTCP, 80, "192.168.1.1", "192.168.2.2", "192.168.3.3", "10.0.0.4", "fd00::1"),
			identity.Labels{"sluice.egress": "@none", "sluice.ingress": "@lan:80"}},
		{"published", []Seen{{Direction: Ingress, Published: 8080, Addr: netip.MustParseAddr("192.168.1.7"), Protocol: ProtocolTCP, Port: 80}},
			identity.Labels{"sluice.egress": "@none", "sluice.ingress": "@none", "sluice.publish.8080": "192.168.1.7"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := LearnedLabels(tt.seen, NewUniverse(), true)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			got[identity.LabelProject] = "shop"
			if _, err := LabelPolicy(got); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLearnedAllowsAllSeen: whatever was seen, the labels, the short form and the CiliumNetworkPolicy allow it.
func TestLearnedAllowsAllSeen(t *testing.T) {
	for seed := range uint64(200) {
		g := generator{rand.New(rand.NewPCG(seed, 9))}
		own := identity.Labels{identity.LabelProject: "shop", identity.LabelService: "web", identity.LabelNetwork: "front"}
		peers := []KnownIdentity{
			{ID: 300, Labels: identity.Labels{identity.LabelProject: "shop", identity.LabelService: "db", identity.LabelNetwork: "front"}},
			{ID: 301, Labels: identity.Labels{identity.LabelProject: "other", identity.LabelService: "api", identity.LabelNetwork: "back"}},
			{ID: 302, Labels: identity.Labels{identity.LabelName: "job", identity.LabelNetwork: "front"}},
			{ID: 303, Labels: own},
		}
		names := map[identity.ID]string{300: "db", 301: "other/api", 302: "name:job", 303: "web", identity.Host: NameHost}
		universe := NewUniverse(peers...)
		var seen []Seen
		var questions []Question
		for range 1 + g.IntN(60) {
			q := Question{Direction: Direction(g.IntN(2)), Protocol: pick[uint8](g, ProtocolTCP, ProtocolUDP, ProtocolICMP, 47),
				Peer: pick[identity.ID](g, 300, 301, 302, 303, identity.Host, identity.World, identity.World)}
			switch {
			case hasPorts(q.Protocol):
				q.Port = uint16(1 + g.IntN(90))
			case q.Protocol == ProtocolICMP:
				q.Port = 8 << 8
			}
			s := Seen{Direction: q.Direction, Peer: names[q.Peer], Protocol: q.Protocol, Port: q.Port}
			if q.Peer == identity.World {
				q.Addr = netip.MustParseAddr(fmt.Sprintf(pick(g, "10.%d.0.%d", "8.8.%d.%d", "2001:db8::%x:%x", "fd00:0:0:%x::%x"), g.IntN(7), 1+g.IntN(7)))
				s.Addr = q.Addr
				if q.Direction == Ingress && hasPorts(q.Protocol) && g.IntN(2) == 0 {
					q.Published, s.Published = 8000+q.Port, 8000+q.Port
				}
			}
			seen, questions = append(seen, s), append(questions, q)
		}
		labels := LearnedLabels(seen, universe, true)
		withLabels := own.Clone()
		maps.Copy(withLabels, labels)
		judge(t, "labels", nil, Subject{Labels: withLabels}, universe, questions)

		p, err := LabelPolicy(withLabels)
		if err != nil {
			t.Fatal(err)
		}
		end := ContainerEnd(own, "web-1", "")
		short, err := FormatShort(p.ForContainer("learned", end, ""))
		judge(t, "short form", reread(t, short, err), Subject{Labels: own}, universe, questions)
		maps.Copy(withLabels, LearnedLabels(seen, universe, false))
		maps.DeleteFunc(withLabels, func(k, _ string) bool { return strings.HasPrefix(k, "sluice.publish.") })
		if p, err = LabelPolicy(withLabels); err != nil {
			t.Fatal(err)
		}
		cnp, err := FormatCNP(p.ForContainer("learned", end, "shop"))
		judge(t, "CiliumNetworkPolicy", reread(t, cnp, err), Subject{Labels: own}, universe, questions)
	}
}

// reread reads a document that was written.
func reread(t *testing.T, text string, err error) *Set {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	list, err := Parse(strings.NewReader(text), "learned.yaml")
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	set, err := NewSet(list...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// judge demands that all questions are allowed, and that the directions are closed.
func judge(t *testing.T, form string, set *Set, subject Subject, universe *Universe, questions []Question) {
	t.Helper()
	for _, q := range questions {
		c := Case{Question: q}
		if v, err := c.Verdict(set, subject, universe); err != nil || v != Allow {
			t.Fatalf("%s: %+v was seen and is denied: %v", form, q, err)
		}
	}
	for _, d := range []Direction{Egress, Ingress} {
		c := Case{Question: Question{Direction: d, Peer: identity.World, Addr: netip.MustParseAddr("203.0.113.9"), Protocol: ProtocolTCP, Port: 9999}}
		if v, err := c.Verdict(set, subject, universe); err != nil || v != Deny {
			t.Fatalf("%s: %s is open: %v", form, d, err)
		}
	}
}
