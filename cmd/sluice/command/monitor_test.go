package command

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server"
	"github.com/sluice-net/sluice/api/server/servertest"
)

func TestMonitor(t *testing.T) {
	for _, format := range []string{"compact", "json"} {
		t.Run(format, func(t *testing.T) { goldenRun(t, "monitor/"+format+".txt", "monitor", "--follow=false", "-o", format) })
	}
}

func TestMonitorFilters(t *testing.T) {
	f := servertest.Sample()
	got := sluice(t, f, "monitor", "--type", "drop,verdict", "--verdict", "denied", "-e", "web,db", "--protocol", "tcp", "-p", "80,443",
		"--address", "10.0.0.0/8,2001:db8::1", "--reason", "no route", "--last", "5", "--since", "1m", "--follow=false")
	if got.code != exitGood {
		t.Fatalf("got %+v", got)
	}
	want := []servertest.Call{{Method: "Subscribe", Args: api.EventFilter{
		Types: []string{"drop", "verdict"}, Verdicts: []string{"denied"}, Endpoints: []string{"web", "db", servertest.WebF, servertest.WebB, servertest.DB}, Protocols: []string{"tcp"},
		Ports: []uint16{80, 443}, Addresses: []string{"10.0.0.0/8", "2001:db8::1"}, Reasons: []string{"no route"}, Last: 5,
		Since: servertest.Now.Add(-time.Minute)}}}
	if diff := cmp.Diff(want, f.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestMonitorCounts(t *testing.T) {
	got := sluice(t, servertest.Sample(), "monitor", "-n", "3") // follows: only the count ends it
	if lines := strings.Count(got.out, "\n"); got.code != exitGood || lines != 4 {
		t.Errorf("got %d lines, want 3 events and the lost ones: %+v", lines, got)
	}
}

// writer lets a test read what is written meanwhile.
type writer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *writer) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(b)
}

func (w *writer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func TestMonitorFollowsUntilInterrupted(t *testing.T) {
	f := servertest.Sample()
	f.EventList = nil
	socket := servertest.Serve(t, f.Backend(), server.Options{Heartbeat: 5 * time.Millisecond})
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	var out, errs writer
	code := make(chan int)
	go func() {
		code <- Run(ctx, Process{Args: []string{"sluice", "--socket", socket, "monitor"}, In: strings.NewReader(""), Out: &out, Err: &errs,
			Getenv: func(string) string { return "" }})
	}()
	if !f.Send(servertest.Sample().EventList[0]) {
		t.Fatalf("nobody listens: %s", errs.String())
	}
	poll(t, "the event is printed", func() bool { return strings.Contains(out.String(), "DENIED web(172.31.0.2):40212 -> db") })
	interrupt()
	if got := <-code; got != exitGood || errs.String() != "" {
		t.Errorf("exit code %d, stderr %q", got, errs.String())
	}
	poll(t, "the subscription ends", func() bool {
		calls := f.Calls()
		return calls[len(calls)-1].Method == "Unsubscribe"
	})
}

func TestMonitorSaysWhenTheDaemonStops(t *testing.T) {
	f := servertest.Sample()
	f.Stop()
	got := sluice(t, f, "monitor")
	if got.code != exitRefused || got.err != "sluice: follow events: the daemon stops\n" || strings.Count(got.out, "\n") != 4 {
		t.Errorf("got %+v", got)
	}
}

func TestMonitorWarnsOfNamesThatNobodyHas(t *testing.T) {
	got := sluice(t, servertest.Sample(), "monitor", "--follow=false", "-e", "typo")
	if got.code != exitGood || got.err != "sluice: no endpoint is called \"typo\" now; waiting for one\n" {
		t.Errorf("got %+v", got)
	}
}

// poll waits until done, at most ten seconds.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after ten seconds it is not so that %s", what)
		}
	}
}
