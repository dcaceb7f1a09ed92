package peer

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Process names a process for as long as the machine is up: its number, which another may get, and when it started. The
// empty Process is one that is not known.
type Process string

type key struct{}

// Context returns ctx with the process at the other end of conn, as http.Server.ConnContext wants it.
func Context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, key{}, other(conn))
}

// From returns the process of Context, empty if it is not known.
func From(ctx context.Context) Process {
	p, _ := ctx.Value(key{}).(Process)
	return p
}

// other asks a unix socket for its peer (SO_PEERCRED, unix(7)).
func other(conn net.Conn) Process {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return ""
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil {
		return ""
	}
	return Of(int(cred.Pid))
}

// Of returns the process of a number. It is empty for a process that is not seen from here: that of another process
// namespace has the number 0.
func Of(pid int) Process {
	start, err := started(pid)
	if err != nil {
		return ""
	}
	return Process(fmt.Sprintf("%d@%s", pid, start))
}

// started returns the time of start of a process, in the kernel's clock ticks (field 22 of /proc/PID/stat, proc(5)).
func started(pid int) (string, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	const state, start = 0, 19 // after the name, which may hold anything and ends with the last parenthesis
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return "", fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	return fields[start], nil
}

// Ended reports whether the process is known and does not run any more.
func (p Process) Ended() bool {
	number, _, ok := strings.Cut(string(p), "@")
	pid, err := strconv.Atoi(number)
	return ok && err == nil && Of(pid) != p
}
