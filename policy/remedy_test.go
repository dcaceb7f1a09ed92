package policy

import (
	"math/rand/v2"
	"testing"

	"github.com/sluice-net/sluice/identity"
)

// otherEnd names the other end of a random question.
func otherEnd(q Question, universe *Universe) End {
	switch q.Peer {
	case identity.Host:
		return End{Text: "@host", Peer: Peer{Entity: EntityHost}}
	case identity.World:
		p, _ := parsePrefix(q.Addr.String())
		return End{Text: q.Addr.String(), Peer: Peer{Prefix: p}}
	}
	known, _ := universe.Get(q.Peer)
	return ContainerEnd(known.Labels, known.Labels[identity.LabelName], "")
}

// TestRemedyFlips: whatever the policies, the change that is told gives the other answer, and there is one unless the
// network's option says that rules do not count.
func TestRemedyFlips(t *testing.T) {
	found := map[Verdict]int{}
	for seed := range uint64(150) {
		g := generator{rand.New(rand.NewPCG(seed, 8))}
		set, known, subject := g.set(t, g.IntN(8)), g.universe(1+g.IntN(6)), g.subject()
		for i := range known {
			known[i].Labels[identity.LabelName] = "c" + known[i].ID.String()
		}
		subject.Labels[identity.LabelName] = "own"
		universe := NewUniverse(known...)
		for range 20 {
			q := g.question(known)
			if _, ok := universe.Get(q.Peer); !ok && !q.Peer.Reserved() {
				continue
			}
			if q.Direction == Egress || !hasPorts(q.Protocol) || q.Peer == identity.Host {
				q.Published = 0
			}
			c := Case{Question: q, Subject: ContainerEnd(subject.Labels, "own", ""), Other: otherEnd(q, universe)}
			before, err := c.Verdict(set, subject, universe)
			if err != nil {
				t.Fatal(err)
			}
			want := Allow - before
			r, ok := c.Remedy(set, subject, universe, want)
			if subject.Mode == ModeNever {
				if ok {
					t.Fatalf("seed %d: a change where rules are ignored: %+v", seed, r)
				}
				continue
			}
			if !ok {
				t.Fatalf("seed %d: nothing flips %+v from %s", seed, c, before)
			}
			changed, own, err := r.Apply(set, subject)
			if err != nil {
				t.Fatal(err)
			}
			if after, err := c.Verdict(changed, own, universe); err != nil || after != want {
				t.Fatalf("seed %d: %+v after %+v: %s, %v", seed, c, r, after, err)
			}
			found[want]++
		}
	}
	if found[Allow] < 200 || found[Deny] < 200 {
		t.Errorf("the test tests little: %v", found)
	}
}

func TestCutItems(t *testing.T) {
	for value, want := range map[string]int{"db": 1, "db:{80,443}, web": 2, "label:app in (a, b):80, @lan": 2, "a,b,c": 3} {
		if got := cutItems(value); len(got) != want {
			t.Errorf("%q: %q", value, got)
		}
	}
}
