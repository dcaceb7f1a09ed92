package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestErrorCodes(t *testing.T) {
	e := Errorf(CodeConflict, "label %s: busy", "web")
	for _, c := range []struct {
		err  error
		want Code
	}{{nil, ""}, {errors.New("x"), CodeInternal}, {e, CodeConflict}, {fmt.Errorf("apply: %w", e), CodeConflict}} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("%v: code %q, want %q", c.err, got, c.want)
		}
	}
	statuses := map[int]Code{}
	for _, c := range []Code{CodeInvalid, CodeNotFound, CodeAmbiguous, CodeConflict, CodeUnavailable, CodeInternal} {
		if other, taken := statuses[c.Status()]; taken || c.Status() < 300 {
			t.Errorf("%q has status %d, as %q has", c, c.Status(), other)
		}
		statuses[c.Status()] = c
	}
}

func TestErrorText(t *testing.T) {
	e := &Error{Message: "read policies: 3 problems", Problems: []Problem{
		{Source: "a.yaml", Line: 3, Message: "one"}, {Source: "b.yaml", Message: "two"}, {Message: "three"}}}
	if got, want := e.Error(), "read policies: 3 problems\na.yaml:3: one\nb.yaml: two\nthree"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestZeroValuesAreLeftOut(t *testing.T) {
	b, err := json.Marshal(Event{Type: EventLost, Lost: &Lost{Where: LostKernel, Count: 2}})
	want := `{"type":"lost","time":"0001-01-01T00:00:00Z","lost":{"where":"kernel","count":2}}`
	if err != nil || string(b) != want {
		t.Errorf("got %s, want %s (%v)", b, want, err)
	}
	b, err = json.Marshal(LabelRequest{Ref: "web", LabelChange: LabelChange{Remove: []string{"k"}}, Waiting: Waiting{Wait: true}})
	if want = `{"ref":"web","remove":["k"],"wait":true}`; err != nil || string(b) != want {
		t.Errorf("got %s, want %s (%v)", b, want, err)
	}
}

func TestCompact(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	party := func(name, addr string, port uint16) Party {
		return Party{Container: name, Addr: netip.MustParseAddr(addr), Port: port}
	}
	base := Event{Type: EventDrop, Time: time.Date(2030, 11, 2, 17, 0, 1, 123456789, time.UTC), Verdict: VerdictDropped, Point: Egress,
		Endpoint: Party{Container: "web"}, Source: party("web", "172.30.0.2", 40212), Destination: party("db", "172.30.0.3", 5432),
		Protocol: "tcp", TCPFlags: "SYN", Reason: ReasonPolicyDenied, Direction: Egress, Length: 74}
	for _, c := range []struct {
		name   string
		change func(*Event)
		want   string // behind the time
	}{
		{"rule", func(e *Event) { e.Policy, e.Rule = "allow-web", "egress[0]" },
			"DROPPED web(172.30.0.2):40212 -> db(172.30.0.3):5432 tcp SYN policy denied by allow-web/egress[0] (egress of web)"},
		{"no rule", func(*Event) {},
			"DROPPED web(172.30.0.2):40212 -> db(172.30.0.3):5432 tcp SYN policy denied, no rule allows it (egress of web)"},
		{"the other policy", func(e *Event) { e.Direction, e.Reply = Ingress, true },
			"DROPPED web(172.30.0.2):40212 -> db(172.30.0.3):5432 tcp SYN reply policy denied, no rule allows it (ingress of web)"},
		{"allowed by default", func(e *Event) { e.Type, e.Verdict, e.Reason = EventVerdict, VerdictAllowed, "" },
			"ALLOWED web(172.30.0.2):40212 -> db(172.30.0.3):5432 tcp SYN policy allowed by default (egress of web)"},
		{"allowed by a rule", func(e *Event) {
			e.Type, e.Verdict, e.Reason, e.Policy, e.Rule = EventVerdict, VerdictAllowed, "", "p", "egress[1]"
		},
			"ALLOWED web(172.30.0.2):40212 -> db(172.30.0.3):5432 tcp SYN policy allowed by p/egress[1] (egress of web)"},
		{"published port", func(e *Event) {
			e.Reason, e.Direction, e.HostPort, e.Policy, e.Rule = "publish denied", Publish, 8080, "labels", `sluice.publish.8080: @lan`
		},
			"DROPPED web(172.30.0.2):40212 -> db(172.30.0.3):5432 tcp SYN publish denied by labels/sluice.publish.8080: @lan (publish 8080 of web)"},
		{"audit", func(e *Event) { e.Type, e.Verdict, e.Policy, e.Rule = EventAudit, VerdictAudit, "p", "default deny" },
			"AUDIT web(172.30.0.2):40212 -> db(172.30.0.3):5432 tcp SYN policy denied by p/default deny (egress of web)"},
		{"learnt", func(e *Event) { e.Type, e.Verdict, e.Reason = EventLearn, VerdictLearned, "" },
			"LEARNED web(172.30.0.2):40212 -> db(172.30.0.3):5432 tcp SYN policy allowed by default (egress of web)"},
		{"learnt, though denied", func(e *Event) { e.Type, e.Verdict = EventLearn, VerdictLearned },
			"LEARNED web(172.30.0.2):40212 -> db(172.30.0.3):5432 tcp SYN policy denied, no rule allows it (egress of web)"},
		{"IPv6 world", func(e *Event) {
			e.Destination = Party{Addr: netip.MustParseAddr("2001:db8::1"), Port: 443, Entity: EntityWorld}
			e.Reason, e.Direction = "no route", ""
		}, "DROPPED web(172.30.0.2):40212 -> [2001:db8::1]:443 tcp SYN no route (egress of web)"},
		{"host", func(e *Event) {
			e.Source = Party{Addr: netip.MustParseAddr("fd00::1"), Entity: EntityHost}
			e.Protocol, e.TCPFlags, e.ICMPType, e.ICMPCode, e.Reason, e.Direction = "icmpv6", "", 3, 1, "TTL exceeded", ""
		}, "DROPPED host(fd00::1) -> db(172.30.0.3):5432 icmpv6 time-exceeded TTL exceeded (egress of web)"},
		{"rare ICMP", func(e *Event) { e.Protocol, e.ICMPType, e.ICMPCode, e.Reason, e.Direction = "icmp", 40, 2, "x", "" },
			"DROPPED web(172.30.0.2):40212 -> db(172.30.0.3):5432 icmp type 40 code 2 x (egress of web)"},
		{"no names", func(e *Event) {
			*e = Event{Type: EventDrop, Time: e.Time, Verdict: VerdictDropped, Point: Egress, Reason: "not IP", Endpoint: Party{Endpoint: "aa0123456789ff"},
				Source: Party{Endpoint: "aa0123456789ff"}}
		}, "DROPPED not IP (egress of aa0123456789)"},
		{"trace", func(e *Event) { e.Type, e.Verdict, e.Reason, e.Direction = EventTrace, VerdictForwarded, "", "" },
			"FORWARDED web(172.30.0.2):40212 -> db(172.30.0.3):5432 tcp SYN 74 bytes (egress of web)"},
		{"lost", func(e *Event) {
			e.Type, e.Lost, e.Endpoint = EventLost, &Lost{Where: LostSubscriber, Count: 9}, Party{}
		}, "LOST 9 events (this reader was too slow)"},
		{"lost by a container", func(e *Event) { e.Type, e.Lost = EventLost, &Lost{Where: LostKernel, Count: 9} },
			"LOST 9 events (more at once than programs may report) of web"},
		{"lost by the store", func(e *Event) { e.Type, e.Lost, e.Endpoint = EventLost, &Lost{Where: LostStore, Count: 9}, Party{} },
			"LOST 9 events (they are not in the store)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := base
			c.change(&e)
			if got, want := e.Compact(), "Nov  2 17:00:01.123 "+c.want; got != want {
				t.Errorf("\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

// serve answers every request on a unix socket with h.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends with Close
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	c := NewClient(socket)
	t.Cleanup(c.Close)
	return c
}

func write(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func TestClientExplainsWhatItCannotReach(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for socket, want := range map[string]string{
		filepath.Join(dir, "none"): "no such socket; is sluiced running?",
		dead:                       "nobody listens; is sluiced running?",
		plain:                      "nobody listens",
	} {
		_, err := NewClient(socket).Status(context.Background())
		if CodeOf(err) != CodeUnavailable || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), socket) {
			t.Errorf("%s: %v, want %q", socket, err, want)
		}
	}
	err = NewClient("/x").unreachable(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)})
	if !strings.Contains(err.Error(), "permission denied; run as root") {
		t.Errorf("permission: %v", err)
	}
}

func TestClientExplainsWrongAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		code    Code
		want    string
	}{
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			write(`{"code":"conflict","message":"no"}`)(w, nil)
		}, CodeConflict, "no"},
		"no JSON":        {http.NotFound, CodeInternal, "404 Not Found; is it of another version?"},
		"broken JSON":    {write(`{"state":`), CodeUnavailable, "read the daemon's answer"},
		"hangs up":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, CodeUnavailable, "it hung up"},
		"unknown fields": {write(`{"state":"ready","new":1}`), "", ""}, // of a newer daemon: ignored
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, c.handler).Status(context.Background())
			if CodeOf(err) != c.code || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want code %q and %q", err, c.code, c.want)
			}
		})
	}
}

func TestClientStream(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		items int
		code  Code
		want  string
	}{
		"ended":      {"{\"item\":{\"type\":\"drop\"}}\n\n\n{\"item\":{\"type\":\"trace\"}}\n{\"end\":true}\n", 2, "", ""},
		"refused":    {"{\"item\":{}}\n{\"error\":{\"code\":\"conflict\",\"message\":\"table is gone\"}}\n", 1, CodeConflict, "table is gone"},
		"cut":        {"{\"item\":{}}\n", 1, CodeUnavailable, "did the daemon stop?"},
		"cut inside": {"{\"item\":{", 0, CodeUnavailable, "did the daemon stop?"},
		"nonsense":   {"<html>", 0, CodeUnavailable, "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			err := serve(t, write(c.text)).Events(context.Background(), EventFilter{}, func(Event) error {
				n++
				return nil
			})
			if n != c.items || CodeOf(err) != c.code || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%d items, error %v", n, err)
			}
		})
	}
	stop := errors.New("stop")
	err := serve(t, write("{\"item\":{}}\n")).Events(context.Background(), EventFilter{}, func(Event) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("the caller's own error became %v", err)
	}
}

func TestClientStreamEndsWithItsContext(t *testing.T) {
	begun, gone := make(chan struct{}), make(chan struct{})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
		close(gone)
	})
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		<-begun
		stop()
	}()
	if err := c.Events(ctx, EventFilter{Follow: true}, func(Event) error { return nil }); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the daemon still thinks that the client is there")
	}
}

func TestBuild(t *testing.T) {
	v := Build()
	if v.Version == "" || v.Go == "" || v.OS == "" || v.Arch == "" {
		t.Errorf("incomplete: %+v", v)
	}
	v = Version{Version: "0.1.0", Commit: "01ab", Go: "go1.26", OS: "linux", Arch: "arm64"}
	if got, want := v.String(), "0.1.0 (commit 01ab, go1.26, linux/arm64)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
