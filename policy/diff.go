package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/identity"
)

// Difference says what a change of policy changes between two ends (see Edge).
type Difference struct {
	From, To       string
	Opened, Closed Reach
}

// Diff compares what the same members may open to each other before and after a change of their tables and settings. The slices are
// parallel.
func Diff(before, after []Member, universe *Universe) []Difference {
	d := differences{}
	pairs := pairKinds(before, after)
	for i := range pairs {
		for j := range pairs {
			if i == j && pairs[i].count < 2 {
				continue
			}
			d.add(pairs[i].old.Group, pairs[j].old.Group,
				between(&pairs[i].old, &pairs[j].old), between(&pairs[i].new, &pairs[j].new))
		}
		d.host(&pairs[i])
		d.world(&pairs[i], universe.lanRanges)
	}
	return d.list()
}

// change is a kind of members before and after.
type change struct {
	old, new Member
	count    int
}

// pairKinds puts like members together; what is alike before but not after stays apart.
func pairKinds(before, after []Member) []change {
	type key struct {
		group, network string
		id             identity.ID
		old, new       string
	}
	var out []change
	at := map[key]int{}
	for i := range before {
		b, a := before[i], after[i]
		k := key{b.Group, b.Network, b.ID, b.judging(), a.judging()}
		n, ok := at[k]
		if !ok {
			at[k] = len(out)
			out = append(out, change{b, a, 1})
			continue
		}
		out[n].count++
		out[n].old.Published = slices.Concat(out[n].old.Published, b.Published)
		out[n].new.Published = slices.Concat(out[n].new.Published, a.Published)
	}
	return out
}

// judging is equal for members that judge alike.
func (m *Member) judging() string {
	return fmt.Sprint(m.Tables.Hash(), m.Settings.Enforcement, m.Settings.KeepDenies)
}

// differences gathers what opens and closes between two ends.
type differences map[[2]string]*Difference

func (d differences) add(from, to string, before, after Reach) {
	opened, closed := after.Minus(before), before.Minus(after)
	if len(opened) == 0 && len(closed) == 0 {
		return
	}
	ends := [2]string{from, to}
	if d[ends] == nil {
		d[ends] = &Difference{From: from, To: to}
	}
	d[ends].Opened, d[ends].Closed = d[ends].Opened.Or(opened), d[ends].Closed.Or(closed)
}

func (d differences) host(c *change) {
	out := func(m *Member) Reach { return m.egress(identity.Host, ClassHost, netip.Addr{}) }
	in := func(m *Member) Reach { return m.ingress(identity.Host, ClassHost, netip.Addr{}) }
	d.add(c.old.Group, NameHost, out(&c.old), out(&c.new))
	d.add(NameHost, c.old.Group, in(&c.old), in(&c.new))
}

func (d differences) world(c *change, lan []addrRange) {
	tables := []*Table{c.old.Tables.Egress, c.new.Tables.Egress}
	for _, p := range worldParts(tables, lan, netip.Addr{}, func(a netip.Addr) string { return c.old.toWorld(a).key() + "/" + c.new.toWorld(a).key() }) {
		d.add(c.old.Group, p.Name, c.old.toWorld(p.Sample), c.new.toWorld(p.Sample))
	}
	tables = []*Table{c.old.Tables.Ingress, c.new.Tables.Ingress, c.old.Tables.Publish, c.new.Tables.Publish}
	for _, p := range worldParts(tables, lan, netip.Addr{}, func(a netip.Addr) string { return c.old.fromWorld(a).key() + "/" + c.new.fromWorld(a).key() }) {
		d.add(p.Name, c.old.Group, c.old.fromWorld(p.Sample), c.new.fromWorld(p.Sample))
	}
}

// list is sorted by the ends.
func (d differences) list() []Difference {
	out := make([]Difference, 0, len(d))
	for _, one := range d {
		out = append(out, *one)
	}
	slices.SortFunc(out, func(a, b Difference) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return out
}
