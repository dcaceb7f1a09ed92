package policy

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sluice-net/sluice/identity"
)

// expressible makes a random policy that the grammar has words for.
func (g generator) expressible(name string, rules int) *Policy {
	p := &Policy{Name: name, Namespace: pick(g, "", "", "p")}
	for range rules {
		r := Rule{Subject: g.selector().inNamespace(p.Namespace), Close: [directions]bool{g.IntN(3) > 0, g.IntN(3) > 0}}
		for range g.IntN(4) {
			c := g.clause("x")
			for i := range c.Peers {
				c.Peers[i].SameProject = false
				if s := c.Peers[i].Selector; s != nil && s.Any() { // in a namespace it would be every known container
					own := s.inNamespace(p.Namespace)
					c.Peers[i].Selector = &own
				}
			}
			for i := range c.Ports {
				for j, port := range c.Ports[i].Ports {
					if port.Protocol == ProtocolICMP && port.Name == "" && port.First != 0 {
						c.Ports[i].Ports[j] = icmpPort(ProtocolICMP, 8)
					} else if port.Name != "" && !port.AnyProtocol && !hasPorts(port.Protocol) || port.Protocol == 47 {
						c.Ports[i].Ports[j] = Port{Protocol: 47, Last: 0xffff}
					}
				}
			}
			r.Clauses = append(r.Clauses, c)
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

// withSettings gives the rules what only the short form and labels have.
func (g generator) withSettings(p *Policy) {
	for i := range p.Rules {
		r := &p.Rules[i]
		for range g.IntN(3) {
			peer := g.peer()
			peer.SameProject = false
			r.Publish = append(r.Publish, PublishRule{Port: pick[uint16](g, 0, 80, 53), Protocol: pick[uint8](g, 0, ProtocolUDP), Peers: []Peer{peer}})
			if last := &r.Publish[len(r.Publish)-1]; last.Port == 0 {
				last.Protocol = 0
			}
		}
		r.Preset = Preset(g.IntN(len(presetNames)))
		r.Rates = [directions]Rate{{BitsPerSecond: pick[uint64](g, 0, 20e6)}, {}}
		if e := Enforcement(g.IntN(4)); e <= Learn {
			r.Enforcement = &e
		}
	}
}

// sameVerdicts compares two sets of policies by random questions.
func (g generator) sameVerdicts(t *testing.T, what string, subject Subject, a, b []*Policy) {
	t.Helper()
	known := g.universe(6)
	universe := NewUniverse(known...)
	var tables [2]Tables
	for i, list := range [][]*Policy{a, b} {
		set, err := NewSet(list...)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if tables[i], err = Resolve(set, subject, universe); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for range 100 {
		q := g.question(known)
		class := ClassOf(subject, universe, q.Peer, q.Network)
		before, _, _ := tables[0].judge(q, class)
		if after, _, _ := tables[1].judge(q, class); before != after {
			t.Fatalf("%s: %+v: %s, but %s when read back", what, q, before, after)
		}
	}
}

// TestFormatsRoundTrip: what the Format functions write is read back as a policy of the same verdicts and settings, and
// written again as the same text.
func TestFormatsRoundTrip(t *testing.T) {
	short, cnp, labels := 0, 0, 0
	for seed := range 400 {
		g := generator{rand.New(rand.NewPCG(uint64(seed), 7))}
		p := g.expressible("one", 1+g.IntN(2))
		subject := g.subject()
		for key := range subject.Labels {
			if strings.HasPrefix(key, LabelPrefix) && key != labelNetwork {
				delete(subject.Labels, key)
			}
		}
		if text, err := FormatCNP(p); err == nil {
			cnp++
			back, err := Parse(strings.NewReader(text), "back.yaml")
			if err != nil && strings.Contains(err.Error(), "selects nobody") {
				continue // a random selector that contradicts the namespace
			}
			if err != nil {
				t.Fatalf("seed %d: %v in\n%s", seed, err, text)
			}
			g.sameVerdicts(t, text, subject, []*Policy{p}, back)
			if again, err := FormatCNP(back[0]); err != nil || again != text {
				t.Fatalf("seed %d: %v\n%s", seed, err, cmp.Diff(text, again))
			}
		} else {
			t.Fatalf("seed %d: %v", seed, err)
		}
		g.withSettings(p)
		text, err := FormatShort(p)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		back, err := Parse(strings.NewReader(text), "back.yaml")
		if err != nil {
			t.Fatalf("seed %d: %v in\n%s", seed, err, text)
		}
		short++
		g.sameVerdicts(t, text, subject, []*Policy{p}, back)
		if again, err := FormatShort(back...); err != nil || again != text {
			t.Fatalf("seed %d: %v\n%s", seed, err, cmp.Diff(text, again))
		}
		p.Rules, p.Origin, p.Namespace = p.Rules[:1], OriginLabel, ""
		p.Rules[0].Subject = Selector{}
		if own, err := FormatLabels(p); err == nil {
			labels++
			g.labelsRoundTrip(t, own, p, subject)
		} else if !errors.Is(err, ErrNotExpressible) {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if short < 300 || cnp < 300 || labels < 80 {
		t.Errorf("the test tests little: %d short forms, %d CiliumNetworkPolicies, %d sets of labels", short, cnp, labels)
	}
}

func (g generator) labelsRoundTrip(t *testing.T, own map[string]string, p *Policy, subject Subject) {
	t.Helper()
	l := subject.Labels.Clone()
	l[identity.PrefixPort+"http"] = "80"
	subject.Labels = l
	with := l.Clone()
	for key, value := range own {
		with[key] = value
	}
	back, err := LabelPolicy(with)
	if err != nil && strings.Contains(err.Error(), "is not of protocol") {
		return // the rule matches nothing, and a label that can match nothing is refused
	}
	if err != nil {
		t.Fatalf("%v in %v", err, own)
	}
	p.Name = LabelPolicyName
	g.sameVerdicts(t, identity.Labels(own).String(), subject, []*Policy{p}, []*Policy{back})
	again, err := FormatLabels(back)
	if err != nil || !cmp.Equal(own, again) {
		t.Fatalf("%v\n%s", err, cmp.Diff(own, again))
	}
}

// TestFormats shows what the forms look like.
func TestFormats(t *testing.T) {
	p, err := LabelPolicy(shop("sluice.egress=db:5432, @lan:{53,123}/udp, label:app in (a, b)&!x:443; sluice.ingress=@none; sluice.ingress.deny=[2001:db8::/32]:22; sluice.publish.8080=@lan; sluice.rate.egress=20mbit/64kb; sluice.mode=audit; sluice.profile=balanced; sluice.observe=drops"))
	if err != nil {
		t.Fatal(err)
	}
	labels, err := FormatLabels(p)
	want := map[string]string{
		"sluice.egress":  "db:5432, @lan:{53,123}/udp, label:app in (a, b)&!x:443",
		"sluice.ingress": "@none", "sluice.ingress.deny": "[2001:db8::/32]:22", "sluice.publish.8080": "@lan",
		"sluice.rate.egress": "20mbit/64kb", "sluice.mode": "audit", "sluice.profile": "balanced", "sluice.observe": "drops",
	}
	if err != nil || !cmp.Equal(labels, want) {
		t.Errorf("%v\n%s", err, cmp.Diff(want, labels))
	}
	p.Name, p.Origin = "db", OriginDocument
	p.Rules[0].Subject = NewSelector(is(labelProject, "shop"), is(labelService, "web"))
	text, err := FormatShort(p)
	if wantText := `policies:
  - name: db
    for:
      - shop/web
    ingress:
      - '@none'
    ingress.deny:
      - '[2001:db8::/32]:22'
    egress:
      - db:5432
      - '@lan:{53,123}/udp'
      - label:app in (a, b)&!x:443
    publish:
      8080:
        - '@lan'
    profile: balanced
    mode: audit
    observe: drops
    rate:
      egress: 20mbit/64kb
`; err != nil || text != wantText {
		t.Errorf("%v\n%s", err, cmp.Diff(wantText, text))
	}
	if _, err := FormatCNP(p); !errors.Is(err, ErrNotExpressible) || !strings.Contains(err.Error(), "no words for published ports") {
		t.Errorf("got %v", err)
	}
	p.Rules[0].Publish, p.Rules[0].Enforcement, p.Rules[0].Rates, p.Rules[0].Preset, p.Rules[0].Level = nil, nil, [directions]Rate{}, PresetNone, LevelUnset
	text, err = FormatCNP(p)
	for _, line := range []string{"compose.project: shop", "compose.service: db", `port: "5432"`, "protocol: TCP", "- lan", "cidr: 2001:db8::/32", "operator: DoesNotExist"} {
		if err != nil || !strings.Contains(text, line) {
			t.Errorf("%v: %s is missing in\n%s", err, line, text)
		}
	}
}

func TestNotExpressible(t *testing.T) {
	db := NewSelector(is(labelService, "db"))
	own := Peer{Selector: &db, SameProject: true}
	for name, c := range map[string]Clause{
		"part of a message type":   {Peers: []Peer{{Entity: EntityAll}}, Ports: []PortRule{{Ports: []Port{{Protocol: ProtocolICMP, First: 0x801, Last: 0x801}}}}},
		"protocol without a name":  {Peers: []Peer{{Entity: EntityAll}}, Ports: []PortRule{{Ports: []Port{{Protocol: 200, Last: 0xffff}}}}},
		"not a service of the own": {Peers: []Peer{{Selector: &Selector{Requirements: []Requirement{is("app", "x")}}, SameProject: true}}, AnyPort: true},
	} {
		p := &Policy{Name: "p", Rules: []Rule{{Close: [directions]bool{true, true}, Clauses: []Clause{c}}}}
		_, err1 := FormatShort(p)
		_, err2 := FormatLabels(p)
		_, err3 := FormatCNP(p)
		if !errors.Is(err1, ErrNotExpressible) || !errors.Is(err2, ErrNotExpressible) || !errors.Is(err3, ErrNotExpressible) {
			t.Errorf("%s: got %v, %v, %v", name, err1, err2, err3)
		}
	}
	p := &Policy{Name: "p", Rules: []Rule{{Clauses: []Clause{{Peers: []Peer{own}, AnyPort: true}}}}}
	if _, err := FormatLabels(p); !errors.Is(err, ErrNotExpressible) {
		t.Errorf("allowed without closing: %v", err)
	}
	if _, err := FormatCNP(p); !errors.Is(err, ErrNotExpressible) {
		t.Errorf("own project of nobody knows which: %v", err)
	}
}
