package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server"
	"github.com/sluice-net/sluice/api/server/servertest"
)

func TestTop(t *testing.T) {
	for _, format := range []string{"table", "json", "yaml"} {
		t.Run(format, func(t *testing.T) { goldenRun(t, "top/"+format+".txt", "top", "--once", "-o", format) })
	}
	t.Run("twice", func(t *testing.T) { goldenRun(t, "top/twice.txt", "top", "-n", "2", "-d", "200ms", "--name", "db") })
	t.Run("lines", func(t *testing.T) {
		goldenRun(t, "top/lines.txt", "top", "-n", "2", "-d", "200ms", "-o", "json", "--project", "none")
	})
}

func TestTopAsks(t *testing.T) {
	f := servertest.Sample()
	if got := sluice(t, f, "top", "peers", "--once", "-d", "500ms"); got.code != exitGood || !strings.HasPrefix(got.out, "NAME    PEER ") {
		t.Fatalf("got %+v", got)
	}
	want := []servertest.Call{{Method: "Watch", Args: api.TrafficRequest{By: "peers", Interval: 500 * time.Millisecond, Count: 1}}}
	if diff := cmp.Diff(want, f.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestTopSorts(t *testing.T) {
	for key, want := range map[string]string{"bytes": "web db alone", "drops": "db alone web", "name": "alone db web", "open": "web db alone",
		"new": "web db alone", "sent": "web db alone", "received": "web db alone", "packets": "web db alone"} {
		got := sluice(t, servertest.Sample(), "top", "--once", "-s", key)
		var names []string
		for i, line := range strings.Split(got.out, "\n") {
			if i > 0 && i < 4 {
				names = append(names, strings.Fields(line)[0])
			}
		}
		if strings.Join(names, " ") != want {
			t.Errorf("by %s: %s, want %s", key, names, want)
		}
	}
}

func TestTopSelects(t *testing.T) {
	for _, c := range []struct {
		f    topFlags
		row  api.TrafficRow
		want bool
	}{
		{topFlags{}, api.TrafficRow{}, true},
		{topFlags{projects: []string{"shop"}}, api.TrafficRow{Project: "blog"}, false},
		{topFlags{names: []string{"shop/web"}}, api.TrafficRow{Name: "shop/web"}, true},
		{topFlags{names: []string{"web"}}, api.TrafficRow{Name: "shop-web-2", Service: "web"}, true},
		{topFlags{names: []string{"10.0.0.1"}}, api.TrafficRow{Name: "web", Peer: "10.0.0.1"}, true},
		{topFlags{names: []string{"we"}}, api.TrafficRow{Name: "web"}, false},
	} {
		if got := c.f.wants(c.row); got != c.want {
			t.Errorf("%+v of %+v: %t", c.f, c.row, got)
		}
	}
}

func TestTopRefuses(t *testing.T) {
	for _, c := range []struct{ args, err string }{
		{"peer", `there is no view "peer", only containers, services, peers`},
		{"-d 1ms", "--interval 1ms: use 200ms to 1m0s"},
		{"-n -1", "cannot be negative"},
		{"-s size", "must be one of bytes, sent"},
		{"--once -n 2", "if any flags in the group [once count] are set"},
	} {
		got := sluice(t, servertest.Sample(), append([]string{"top"}, strings.Fields(c.args)...)...)
		if got.code != exitUsage || !strings.Contains(got.err, c.err) {
			t.Errorf("%s: %+v, want %q", c.args, got, c.err)
		}
	}
}

// pty is a pseudo-terminal: what is typed into it, and what was drawn.
type pty struct {
	user, program *os.File
	drawn         writer
}

func openPTY(t *testing.T) *pty {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("no pseudo-terminals: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("no pseudo-terminals: %v", err)
	}
	if err := unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 4, Col: 80}); err != nil {
		t.Fatal(err)
	}
	p := &pty{user: user, program: program}
	go func() { _, _ = io.Copy(&p.drawn, user) }()
	t.Cleanup(func() { user.Close(); program.Close() })
	return p
}

// A user looks at all views, sorts, and ends.
func TestTopOnATerminal(t *testing.T) {
	f := servertest.Sample()
	socket := servertest.Serve(t, f.Backend(), server.Options{})
	p := openPTY(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var errs writer
	code := make(chan int)
	go func() {
		code <- Run(ctx, Process{Args: []string{"sluice", "--socket", socket, "top"}, In: p.program, Out: p.program, Err: &errs,
			Getenv: func(string) string { return "" }})
	}()
	drawn := func(what string) {
		t.Helper()
		poll(t, fmt.Sprintf("%q is drawn", what), func() bool { return strings.Contains(p.drawn.String(), what) })
	}
	drawn(enterScreen)
	drawn("sluice top containers")
	drawn(reverse + "CONTAINER   SENT/s")
	for _, step := range []struct{ key, drawn string }{{"a", "by name"}, {"d", "by drops"}, {"\t", "sluice top services"}, {"\t", "sluice top peers"}} {
		if _, err := io.WriteString(p.user, step.key); err != nil {
			t.Fatal(err)
		}
		drawn(step.drawn)
	}
	if _, err := io.WriteString(p.user, "q"); err != nil {
		t.Fatal(err)
	}
	if got := <-code; got != exitGood || errs.String() != "" {
		t.Errorf("exit code %d: %s", got, errs.String())
	}
	drawn(leaveScreen)
}

func TestScreenFits(t *testing.T) {
	var out strings.Builder
	s := &screen{out: &out, size: func() (int, int) { return 6, 3 }}
	s.draw([]string{"äöüß€xyz"}, []string{"head", "row one", "row two", "row three"})
	want := topLeft + "äöüß€x" + plain + eraseLine + "\r\n" + reverse + "head" + plain + eraseLine + "\r\n" + "row on" + plain + eraseLine + eraseBelow
	if out.String() != want {
		t.Errorf("drawn %q, want %q", out.String(), want)
	}
}
