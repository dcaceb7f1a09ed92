package flows

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	relaypb "github.com/cilium/cilium/api/v1/relay"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The formats of a Printer.
const (
	Compact = "compact"
	Table   = "table"
	Dict    = "dict"
	JSON    = "json"   // the same as JSONPB
	JSONPB  = "jsonpb" // observer.GetFlowsResponse, one a line
)

// PrintOptions say how flows are printed.
type PrintOptions struct {
	Format   string
	Layout   string         // of times
	Zone     *time.Location // of times
	Numeric  bool           // addresses and numbers instead of names
	Names    bool           // names instead of addresses
	Node     bool           // the node's name
	Policies bool           // the policies that decided
	Colour   bool
	Quiet    bool // nothing about nodes and losses
}

// Printer prints what a server answers: flows to one writer, news of nodes to the other.
type Printer struct {
	o         PrintOptions
	out, errs io.Writer
	paint     paint
	table     *tabwriter.Writer
	json      *json.Encoder
	printed   int
}

// NewPrinter returns a printer. The caller ends it with Close.
func NewPrinter(out, errs io.Writer, o PrintOptions) *Printer {
	p := &Printer{o: o, out: out, errs: errs, paint: paint(o.Colour && o.Format != Table)}
	switch o.Format {
	case Table:
		p.table = tabwriter.NewWriter(out, 2, 0, 3, ' ', 0)
	case JSON, JSONPB:
		p.json = json.NewEncoder(out)
	}
	return p
}

// Close prints what was held back to align it.
func (p *Printer) Close() error {
	if p.table != nil {
		return p.table.Flush()
	}
	return nil
}

// Print prints one answer.
func (p *Printer) Print(r *observerpb.GetFlowsResponse) error {
	if _, node := r.GetResponseTypes().(*observerpb.GetFlowsResponse_NodeStatus); node {
		return p.node(r)
	}
	if p.json != nil {
		return p.json.Encode(r)
	}
	switch r.GetResponseTypes().(type) {
	case *observerpb.GetFlowsResponse_Flow:
		return p.flow(r.GetFlow())
	case *observerpb.GetFlowsResponse_LostEvents:
		if !p.o.Quiet {
			return p.lost(r)
		}
	}
	return nil
}

// flow prints a flow in the formats for people.
func (p *Printer) flow(f *flowpb.Flow) error {
	source, destination := p.ends(f)
	when := p.when(f.GetTime())
	switch p.o.Format {
	case Table:
		return p.row(when, f.GetNodeName(), source, destination, kind(f), p.verdict(f), summary(f))
	case Dict:
		return p.facts([]fact{{"TIMESTAMP", when}, {"NODE", clean(f.GetNodeName())}, {"SOURCE", source}, {"DESTINATION", destination},
			{"TYPE", kind(f)}, {"VERDICT", p.verdict(f)}, {"SUMMARY", summary(f)}})
	}
	arrow := "->"
	switch {
	case f.GetIsReply() == nil:
		arrow = "<>"
	case f.GetIsReply().GetValue():
		source, destination, arrow = destination, source, "<-"
	}
	words := []string{when, p.nodeName(f.GetNodeName()), source, arrow, destination, kind(f), p.verdict(f)}
	if s := summary(f); s != "" {
		words = append(words, "("+s+")")
	}
	return p.line(words)
}

// lost prints that flows are missing.
func (p *Printer) lost(r *observerpb.GetFlowsResponse) error {
	l := r.GetLostEvents()
	when, node := p.when(r.GetTime()), r.GetNodeName()
	text := fmt.Sprintf("%d (%s: %s)", l.GetNumEventsLost(), l.GetSource(), lostBecause[l.GetSource()])
	switch p.o.Format {
	case Table:
		return p.row(when, node, l.GetSource().String(), "-", "EVENTS LOST", "-", text)
	case Dict:
		return p.facts([]fact{{"TIMESTAMP", when}, {"NODE", clean(node)}, {"TYPE", "EVENTS LOST"}, {"SUMMARY", text}})
	}
	return p.line([]string{when, p.nodeName(node), p.paint.dropped("EVENTS LOST"), text})
}

var lostBecause = map[flowpb.LostEventSource]string{
	flowpb.LostEventSource_UNKNOWN_LOST_EVENT_SOURCE: "the server does not say why",
	flowpb.LostEventSource_PERF_EVENT_RING_BUFFER:    "more at once than programs may report",
	flowpb.LostEventSource_OBSERVER_EVENTS_QUEUE:     "more than the server could take in",
	flowpb.LostEventSource_HUBBLE_RING_BUFFER:        "overwritten before they were read",
}

// node prints news of the nodes behind a relay.
func (p *Printer) node(r *observerpb.GetFlowsResponse) error {
	s := r.GetNodeStatus()
	bad := s.GetStateChange() == relaypb.NodeState_NODE_UNAVAILABLE || s.GetStateChange() == relaypb.NodeState_NODE_ERROR
	if p.o.Quiet || !bad {
		return nil
	}
	if p.json != nil {
		return json.NewEncoder(p.errs).Encode(r)
	}
	what := "unavailable"
	if s.GetStateChange() == relaypb.NodeState_NODE_ERROR {
		what = "failed: " + s.GetMessage()
	}
	_, err := fmt.Fprintf(p.errs, "sluice: nodes %s: %s\n", clean(strings.Join(s.GetNodeNames(), ", ")), clean(what))
	return err
}

func (p *Printer) when(t *timestamppb.Timestamp) string {
	if !t.IsValid() {
		return "-"
	}
	return t.AsTime().In(p.o.Zone).Format(p.o.Layout)
}

// nodeName is empty unless it is asked for.
func (p *Printer) nodeName(name string) string {
	if !p.o.Node {
		return ""
	}
	return "[" + clean(name) + "]"
}

// line prints the words that are not empty.
func (p *Printer) line(words []string) error {
	p.printed++
	var kept []string
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	_, err := fmt.Fprintln(p.out, strings.Join(kept, " "))
	return err
}

// row prints a row of the table, after the heading.
func (p *Printer) row(when, node, source, destination, kind, verdict, summary string) error {
	head := []string{"TIMESTAMP", "NODE", "SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY"}
	cells := []string{when, clean(node), source, destination, kind, verdict, summary}
	if p.printed == 0 {
		p.printed++
		if err := p.cells(head); err != nil {
			return err
		}
	}
	return p.cells(cells)
}

func (p *Printer) cells(cells []string) error {
	if !p.o.Node {
		cells = append(cells[:1:1], cells[2:]...)
	}
	_, err := fmt.Fprintln(p.table, strings.Join(cells, "\t"))
	return err
}

type fact struct{ name, value string }

// facts prints a flow as pairs of names and values, a line between two flows.
func (p *Printer) facts(all []fact) error {
	var b strings.Builder
	if p.printed > 0 {
		b.WriteString("------------\n")
	}
	p.printed++
	for _, f := range all {
		if f.name != "NODE" || p.o.Node {
			fmt.Fprintf(&b, "%11s: %s\n", f.name, f.value)
		}
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

// clean keeps what others named from commanding the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
