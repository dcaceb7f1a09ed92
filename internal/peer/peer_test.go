package peer

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestFrom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	own := From(Context(t.Context(), conn))
	if own == "" || own != Of(os.Getpid()) || own.Ended() {
		t.Errorf("at the other end is %q, ended %v; want this process, %q", own, own.Ended(), Of(os.Getpid()))
	}
	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	for name, ctx := range map[string]context.Context{"no socket": Context(t.Context(), pipe), "nothing": t.Context()} {
		if p := From(ctx); p != "" || p.Ended() {
			t.Errorf("%s: process %q, ended %v", name, p, p.Ended())
		}
	}
}

// TestEnded: a process ends when it is killed, waited for or not, and another one of its number is not it.
func TestEnded(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := Of(cmd.Process.Pid)
	if p == "" || p.Ended() {
		t.Errorf("a running process %q: ended %v", p, p.Ended())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if !p.Ended() {
		t.Errorf("a killed process %q has not ended", p)
	}
	for p, ended := range map[Process]bool{
		Process(Of(os.Getpid()) + "1"): true, "": false, "x@1": false, "17": false,
	} {
		if p.Ended() != ended {
			t.Errorf("process %q: ended %v", p, !ended)
		}
	}
}
