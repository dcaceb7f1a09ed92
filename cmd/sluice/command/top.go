package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

// topFlags are the flags of top.
type topFlags struct {
	out      format
	sort     format
	interval time.Duration
	once     bool
	count    int
	projects []string
	names    []string
}

func (a *app) top() *cobra.Command {
	var f topFlags
	views := []string{api.TrafficContainers, api.TrafficServices, api.TrafficPeers}
	cmd := &cobra.Command{
		Use:   "top [containers|services|peers] [flags]",
		Short: "Watch rates: what containers, services and peers send, open, and lose",
		Long: `Show what containers, compose services, or pairs of peers send and receive a second, the connections
that they open and have, and what is dropped, with the main reason. Peers are who opened connections
(NAME) and to whom (PEER). Rates are means of the interval.

Bytes and packets of containers are the kernel's own counters. Drops are those that the daemon was
told of: sluice.observe=none tells none, and if more happened than are told, a line says so.

On a terminal the table is refreshed in place, and keys do this: q ends; tab shows containers,
services or peers; b, s, r, p, d, n, o and a sort by bytes, sent, received, packets, drops, new and
open connections, and name.`,
		Example: `  sluice top
  sluice top services --project shop -d 5s
  sluice top peers -s drops
  sluice top --once -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return oneOf("view", views...)(nil, args)
		},
		ValidArgs: views,
		RunE: func(cmd *cobra.Command, args []string) error {
			by := api.TrafficContainers
			if len(args) > 0 {
				by = args[0]
			}
			return a.watchTraffic(cmd, by, &f)
		},
	}
	flags := cmd.Flags()
	f.out.flag(cmd, "table", "json", "yaml")
	f.sort.allowed, f.sort.value = sortNames(), "bytes"
	flags.VarP(&f.sort, "sort", "s", "what rows are sorted by")
	fixed(cmd, "sort", f.sort.allowed...)
	flags.DurationVarP(&f.interval, "interval", "d", 2*time.Second, "time between two samples")
	flags.BoolVar(&f.once, "once", false, "one sample: the same as -n 1")
	flags.IntVarP(&f.count, "count", "n", 0, "end after so many samples (0: do not end)")
	flags.StringSliceVar(&f.projects, "project", nil, "only these compose `projects`")
	flags.StringSliceVar(&f.names, "name", nil, "only these containers, services (SERVICE or PROJECT/SERVICE) or peers of these `names`")
	cmd.MarkFlagsMutuallyExclusive("once", "count")
	a.completeFlag(cmd, "project", projectNames)
	a.completeFlag(cmd, "name", containerNames)
	return cmd
}

// sortKey is an order of rows: what is more stands first.
type sortKey struct {
	name string
	key  byte
	more func(r api.TrafficRow) float64 // nil: by name
}

var sortKeys = []sortKey{
	{"bytes", 'b', func(r api.TrafficRow) float64 { return r.Sent.Bytes + r.Received.Bytes }},
	{"sent", 's', func(r api.TrafficRow) float64 { return r.Sent.Bytes }},
	{"received", 'r', func(r api.TrafficRow) float64 { return r.Received.Bytes }},
	{"packets", 'p', func(r api.TrafficRow) float64 { return r.Sent.Packets + r.Received.Packets }},
	{"drops", 'd', func(r api.TrafficRow) float64 { return r.Drops }},
	{"new", 'n', func(r api.TrafficRow) float64 { return r.New }},
	{"open", 'o', func(r api.TrafficRow) float64 { return float64(r.Open) }},
	{"name", 'a', nil},
}

func sortNames() (names []string) {
	for _, k := range sortKeys {
		names = append(names, k.name)
	}
	return names
}

// arrange leaves the rows that the flags want, in their order.
func (f *topFlags) arrange(t *api.Traffic) {
	t.Rows = slices.DeleteFunc(slices.Clone(t.Rows), func(r api.TrafficRow) bool { return !f.wants(r) })
	i := slices.IndexFunc(sortKeys, func(k sortKey) bool { return k.name == f.sort.value })
	slices.SortStableFunc(t.Rows, func(a, b api.TrafficRow) int {
		byName := cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Peer, b.Peer))
		if more := sortKeys[i].more; more != nil {
			return cmp.Or(cmp.Compare(more(b), more(a)), byName)
		}
		return byName
	})
}

func (f *topFlags) wants(r api.TrafficRow) bool {
	if len(f.projects) > 0 && !slices.Contains(f.projects, r.Project) {
		return false
	}
	return len(f.names) == 0 || slices.ContainsFunc(f.names, func(n string) bool {
		return n == r.Name || n == r.Peer || n == r.Container || n == r.Service
	})
}

// watchTraffic prints samples, in place if it can.
func (a *app) watchTraffic(cmd *cobra.Command, by string, f *topFlags) error {
	switch {
	case f.interval < api.MinTrafficInterval || f.interval > api.MaxTrafficInterval:
		return usageError{fmt.Errorf("--interval %s: use %s to %s", f.interval, api.MinTrafficInterval, api.MaxTrafficInterval)}
	case f.count < 0:
		return usageError{errors.New("--count cannot be negative")}
	case f.once:
		f.count = 1
	}
	if f.out.value == "table" && f.count == 0 && a.terminal(a.Out) {
		return a.topScreen(cmd.Context(), by, f)
	}
	n := 0
	return a.client().Traffic(cmd.Context(), api.TrafficRequest{By: by, Interval: f.interval, Count: f.count}, func(t api.Traffic) error {
		f.arrange(&t)
		if n++; n > 1 && f.out.value == "table" {
			fmt.Fprintln(a.Out)
		}
		return a.printTraffic(t, by, f)
	})
}

// printTraffic prints a sample. Several JSON samples are lines, several YAML ones documents.
func (a *app) printTraffic(t api.Traffic, by string, f *topFlags) error {
	switch {
	case f.out.value == "json" && f.count != 1:
		return json.NewEncoder(a.Out).Encode(t)
	case f.out.value == "yaml" && f.count != 1:
		fmt.Fprintln(a.Out, "---")
	}
	if done, err := document(a.Out, f.out.value, t); done {
		return err
	}
	if err := table(a.Out, trafficTable(t, by)); err != nil {
		return err
	}
	for _, note := range trafficNotes(t) {
		fmt.Fprintln(a.Out, note)
	}
	return nil
}

// trafficTable returns the cells of a sample with their heading.
func trafficTable(t api.Traffic, by string) [][]string {
	head := []string{strings.ToUpper(strings.TrimSuffix(by, "s")), "SENT/s", "RECEIVED/s", "PKTS SENT/s", "PKTS RECV/s", "DROPS/s", "REASON", "NEW/s", "OPEN"}
	if by == api.TrafficPeers {
		head = slices.Insert(head, 1, "PEER")
		head[0] = "NAME"
	}
	rows := [][]string{head}
	for _, r := range t.Rows {
		row := []string{r.Name, rateSize(r.Sent.Bytes), rateSize(r.Received.Bytes), rateCount(r.Sent.Packets), rateCount(r.Received.Packets),
			rateCount(r.Drops), r.Reason, rateCount(r.New), fmt.Sprint(r.Open)}
		if by == api.TrafficPeers {
			row = slices.Insert(row, 1, r.Peer)
		}
		rows = append(rows, row)
	}
	return rows
}

// trafficNotes say what the rows do not show.
func trafficNotes(t api.Traffic) (notes []string) {
	if t.Lost > 0 {
		notes = append(notes, fmt.Sprintf("%d events were lost: there were more drops than these", t.Lost))
	}
	if t.Hidden > 0 {
		notes = append(notes, fmt.Sprintf("%d rows with less traffic are left out", t.Hidden))
	}
	return notes
}

func rateSize(bytes float64) string { return size(uint64(bytes + 0.5)) }

// rateCount writes a number a second: what is rare with a digit behind the point.
func rateCount(n float64) string {
	switch {
	case n == 0:
		return "0"
	case n < 10:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}

// errSwitch ends a stream to show another view.
var errSwitch = errors.New("another view")

// nextView is the view after one.
func nextView(by string) string {
	views := []string{api.TrafficContainers, api.TrafficServices, api.TrafficPeers}
	return views[(slices.Index(views, by)+1)%len(views)]
}

// topScreen refreshes the table in place until the user ends it.
func (a *app) topScreen(ctx context.Context, by string, f *topFlags) error {
	s, err := a.openScreen()
	if err != nil {
		return err
	}
	defer s.close()
	for {
		view, cancel := context.WithCancelCause(ctx)
		err := a.topView(view, cancel, s, by, f)
		cause := context.Cause(view)
		cancel(nil)
		switch {
		case errors.Is(cause, errSwitch):
			by = nextView(by)
		case errors.Is(cause, errEnough), ctx.Err() != nil:
			return nil
		default:
			return err
		}
	}
}

// topView shows one view until a key ends it: the cause of the context's end says which.
func (a *app) topView(ctx context.Context, end context.CancelCauseFunc, s *screen, by string, f *topFlags) error {
	samples, failed := make(chan api.Traffic), make(chan error, 1)
	go func() {
		failed <- a.client().Traffic(ctx, api.TrafficRequest{By: by, Interval: f.interval}, func(t api.Traffic) error {
			select {
			case samples <- t:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	var last *api.Traffic
	for {
		a.drawTraffic(s, last, by, f)
		select {
		case t := <-samples:
			last = &t
		case err := <-failed:
			return err
		case key, open := <-s.keys:
			switch {
			case !open:
				s.keys = nil // the terminal's input ended; go on without keys
			case key == 'q' || key == 3 || key == 4: // ^C and ^D, which are keys here
				end(errEnough)
			case key == '\t':
				end(errSwitch)
			default:
				f.press(key)
			}
		case <-s.resized:
		}
	}
}

// press changes the order.
func (f *topFlags) press(key byte) {
	for _, k := range sortKeys {
		if k.key == key {
			f.sort.value = k.name
		}
	}
}

// drawTraffic draws the newest sample, nil before there is one.
func (a *app) drawTraffic(s *screen, last *api.Traffic, by string, f *topFlags) {
	if last == nil {
		s.draw([]string{fmt.Sprintf("sluice top %s: the first rates come after %s", by, f.interval)}, nil)
		return
	}
	t := *last
	f.arrange(&t)
	var sum api.TrafficRow
	for _, r := range t.Rows {
		sum.Sent.Bytes += r.Sent.Bytes
		sum.Received.Bytes += r.Received.Bytes
		sum.Drops += r.Drops
	}
	head := []string{fmt.Sprintf("sluice top %s  %s, every %s, by %s: %d, sent %s/s, received %s/s, %s drops/s   (q ends, tab: other view)", by,
		t.Time.Local().Format(time.TimeOnly), f.interval, f.sort.value, len(t.Rows), rateSize(sum.Sent.Bytes), rateSize(sum.Received.Bytes), rateCount(sum.Drops))}
	var b strings.Builder
	_ = table(&b, trafficTable(t, by)) // a builder takes everything
	s.draw(append(head, trafficNotes(t)...), strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n"))
}
