package observe

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// allEvents is the filter that leaves nothing out.
func allEvents() api.EventFilter {
	return api.EventFilter{Types: []string{api.EventDrop, api.EventVerdict, api.EventTrace, api.EventAudit, api.EventLearn}}
}

func TestFilterMatches(t *testing.T) {
	event := flowOf(t, denied())
	verdict := flowOf(t, with(func(e *abi.Event) { e.Type = abi.EventVerdict }))
	for _, c := range []struct {
		name   string
		filter api.EventFilter
		event  *Flow
		want   bool
	}{
		{"empty: drops", api.EventFilter{}, event, true},
		{"empty: no verdicts", api.EventFilter{}, verdict, false},
		{"verdict implies the type", api.EventFilter{Verdicts: []string{"denied"}}, verdict, true},
		{"verdict excludes the other type", api.EventFilter{Verdicts: []string{"denied"}}, event, false},
		{"type", api.EventFilter{Types: []string{"trace", "drop"}}, event, true},
		{"type and verdict", api.EventFilter{Types: []string{"verdict"}, Verdicts: []string{"allowed"}}, verdict, false},
		{"container", api.EventFilter{Endpoints: []string{"web"}}, event, true},
		{"the other end", api.EventFilter{Endpoints: []string{"db"}}, event, true},
		{"service", api.EventFilter{Endpoints: []string{"front"}}, event, true},
		{"project/service", api.EventFilter{Endpoints: []string{"shop/front"}}, event, true},
		{"endpoint id", api.EventFilter{Endpoints: []string{"aa0123456789"}}, event, true},
		{"container id", api.EventFilter{Endpoints: []string{"c20123456789"}}, event, true},
		{"too short an id", api.EventFilter{Endpoints: []string{"aa01"}}, event, false},
		{"no name", api.EventFilter{Endpoints: []string{""}}, event, false},
		{"another", api.EventFilter{Endpoints: []string{"cache"}}, event, false},
		{"protocol", api.EventFilter{Protocols: []string{"TCP"}}, event, true},
		{"protocol by number", api.EventFilter{Protocols: []string{"6"}}, event, true},
		{"another protocol", api.EventFilter{Protocols: []string{"udp", "132"}}, event, false},
		{"port", api.EventFilter{Ports: []uint16{80, 5432}}, event, true},
		{"source port", api.EventFilter{Ports: []uint16{40212}}, event, true},
		{"another port", api.EventFilter{Ports: []uint16{80}}, event, false},
		{"address", api.EventFilter{Addresses: []string{"172.30.0.3"}}, event, true},
		{"mapped address", api.EventFilter{Addresses: []string{"::ffff:172.30.0.3"}}, event, true},
		{"CIDR", api.EventFilter{Addresses: []string{"2001:db8::/32", "172.30.0.77/24"}}, event, true},
		{"another CIDR", api.EventFilter{Addresses: []string{"10.0.0.0/8"}}, event, false},
		{"reason", api.EventFilter{Reasons: []string{"Policy_Denied"}}, event, true},
		{"another reason", api.EventFilter{Reasons: []string{"no route"}}, event, false},
		{"since", api.EventFilter{Since: event.Time}, event, true},
		{"too old", api.EventFilter{Since: event.Time.Add(time.Millisecond)}, event, false},
		{"both of two", api.EventFilter{Endpoints: []string{"web"}, Ports: []uint16{5432}}, event, true},
		{"one of two", api.EventFilter{Endpoints: []string{"web"}, Ports: []uint16{1}}, event, false},
		{"who speaks, whatever the addresses", api.EventFilter{Endpoints: []string{"web"}},
			flowOf(t, with(func(e *abi.Event) { e.Src, e.Family = ip("192.0.2.7"), 0 })), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := newFilter(c.filter)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.match(c.event); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestFilterRefuses(t *testing.T) {
	for want, f := range map[string]api.EventFilter{
		`no type "drops", only drop, verdict, trace, audit, learn`: {Types: []string{"drops"}},
		`no verdict "no", only allowed, denied`:                    {Verdicts: []string{"no"}},
		`no protocol "ip"`:                                         {Protocols: []string{"ip"}},
		`no protocol "256"`:                                        {Protocols: []string{"256"}},
		`"10.0.0.0/33" is neither`:                                 {Addresses: []string{"10.0.0.0/33"}},
		`no drop reason "because", only labels`:                    {Reasons: []string{"because"}},
		"must not be negative":                                     {Last: -1},
	} {
		if _, err := newFilter(f); api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", f, err, want)
		}
	}
}
