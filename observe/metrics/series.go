package metrics

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// Bounds of a metric's series.
const (
	maxSeries  = 10000 // of one metric; what exceeds it is counted by series whose ends and ports are other
	maxKnown   = 1 << 16
	maxHolders = 64               // containers that a series remembers of an end
	gonePeriod = time.Minute      // after which series of containers that are gone go
	idlePeriod = 15 * time.Minute // after which series go whose labels are addresses or domains
	other      = "other"          // in place of values, when there are too many series
	separator  = "\xff"           // of values, in which it cannot be: they are UTF-8
)

// counter is a metric that is wanted, with its series. It is for one goroutine at a time.
type counter struct {
	*kind
	wanted    Wanted
	vec       *prometheus.CounterVec
	byAddress bool
	limit     int
	series    map[string]*series    // by values
	known     map[known]*series     // the fast way to them
	addressed map[addressed]*series // likewise, if byAddress
	folded    prometheus.Counter
	residents *residents
}

// known is what the values of a flow's labels depend on, unless they are addresses or domains.
type known struct {
	code                uint64
	detail              uint16
	direction           observe.Direction
	source, destination *observe.Party
}

// addressed is what they depend on then. Lists of names are shared, so that their first elements tell them apart.
type addressed struct {
	known
	from, to           abi.IP
	fromNames, toNames *string
}

// series is one set of values.
type series struct {
	prometheus.Counter
	values []string
	ends   [2]holders // source, destination
	used   time.Time  // if values are addresses
}

// holders are the containers that the values of an end come from.
type holders struct {
	endpoints []string
	others    bool // it is not only containers that have these values
	many      bool // more containers than are remembered
}

func newCounter(w Wanted, folded *prometheus.CounterVec, r *residents) *counter {
	k := kindOf(w.Name)
	labels := w.Contexts.names()
	for _, flag := range w.Flags {
		if l, ok := k.more[flag]; ok {
			labels = append([]string{l}, labels...)
		}
	}
	return &counter{
		kind: k, wanted: w, vec: k.metric.Counters(labels...), byAddress: w.Contexts.byAddress(), limit: maxSeries,
		series: map[string]*series{}, known: map[known]*series{}, addressed: map[addressed]*series{},
		folded: folded.WithLabelValues(k.metric.Name), residents: r,
	}
}

// count counts a flow, if the metric is about it.
func (c *counter) count(f *observe.Flow, converter *convert.Converter) {
	if !c.counts(c.wanted, f) {
		return
	}
	k := known{code: code(f), direction: f.Direction(), source: f.Source, destination: f.Destination}
	if c.detail != nil {
		k.detail = c.detail(f)
	}
	var s *series
	if c.byAddress {
		a := addressed{known: k, from: f.Kernel.Src, to: f.Kernel.Dst, fromNames: first(f.SourceNames), toNames: first(f.DestinationNames)}
		s = look(c.addressed, a, func() *series { return c.find(f, converter) })
		s.used = f.Time
	} else {
		s = look(c.known, k, func() *series { return c.find(f, converter) })
	}
	s.Inc()
}

// look returns the series of a key, found anew if it is not known.
func look[K comparable](known map[K]*series, key K, find func() *series) *series {
	s := known[key]
	if s == nil {
		s = find()
		if len(known) >= maxKnown {
			clear(known)
		}
		known[key] = s
	}
	return s
}

// first returns the first element of a list, nil of none.
func first(names []string) *string {
	if len(names) == 0 {
		return nil
	}
	return &names[0]
}

// forgotten counts what nobody is told: flows of containers that are gone, whose series are gone too.
var forgotten = &series{Counter: prometheus.NewCounter(prometheus.CounterOpts{Name: "forgotten"})}

// find returns the series of a flow, which it makes if there is none.
func (c *counter) find(f *observe.Flow, converter *convert.Converter) *series {
	own := c.values(c.wanted, f, converter.Flow(f))
	ends, source, destination := c.wanted.Contexts.values(f)
	if source && c.residents.goneParty(f.Source) || destination && c.residents.goneParty(f.Destination) {
		return forgotten
	}
	values := slices.Concat(own, ends)
	s := c.series[strings.Join(values, separator)]
	if s == nil && len(c.series) >= c.limit {
		c.folded.Inc()
		return c.make(c.fold(own, len(ends)))
	}
	if s == nil {
		s = c.make(values)
	}
	if source {
		s.ends[0].add(f.Source, c.residents)
	}
	if destination {
		s.ends[1].add(f.Destination, c.residents)
	}
	return s
}

// fold returns the values for what there is no room for.
func (c *counter) fold(own []string, ends int) []string {
	values := slices.Clone(own)
	for i := range values {
		if i >= len(c.metric.Labels) || c.metric.Labels[i] == "port" {
			values[i] = other
		}
	}
	return append(values, slices.Repeat([]string{other}, ends)...)
}

func (c *counter) make(values []string) *series {
	key := strings.Join(values, separator)
	s := c.series[key]
	if s == nil {
		for i, v := range values {
			values[i] = strings.ToValidUTF8(v, "?")
		}
		s = &series{Counter: c.vec.WithLabelValues(values...), values: values}
		c.series[key] = s
	}
	return s
}

func (h *holders) add(p *observe.Party, r *residents) {
	if p.EndpointID == "" {
		h.others = true
		return
	}
	r.note(p.EndpointID)
	switch {
	case slices.Contains(h.endpoints, p.EndpointID):
	case len(h.endpoints) >= maxHolders:
		h.many = true
	default:
		h.endpoints = append(h.endpoints, p.EndpointID)
	}
}

// gone reports whether the end was of containers, and all of them are gone. Where there were more than are remembered,
// those that live are to be seen anew.
func (h *holders) gone(r *residents) (gone, forgot bool) {
	if h.others || len(h.endpoints) == 0 {
		return false, false
	}
	h.endpoints = slices.DeleteFunc(h.endpoints, r.gone)
	if len(h.endpoints) > 0 {
		return false, false
	}
	if h.many {
		h.many = false
		return false, true
	}
	return true, false
}

// sweep removes the series of containers that are gone for a minute, and of addresses that were not seen for long.
func (c *counter) sweep(now time.Time) {
	stale := false // known may lead to series that are no more, or past a look at who holds them
	for key, s := range c.series {
		gone := c.byAddress && now.Sub(s.used) >= idlePeriod
		for i := range s.ends {
			dead, forgot := s.ends[i].gone(c.residents)
			gone, stale = gone || dead, stale || forgot
		}
		if gone {
			c.vec.DeleteLabelValues(s.values...)
			delete(c.series, key)
			stale = true
		}
	}
	if stale {
		clear(c.known)
		clear(c.addressed)
	}
}
