package hostport

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/service"
)

// A refusal names the process that has the port: this one.
func TestRefusalNamesTheProcess(t *testing.T) {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("process %s (pid %d) has it", strings.TrimSpace(string(comm)), os.Getpid())
	for _, c := range []struct {
		network, listen, frontend string
		proto                     service.Protocol
	}{
		{"tcp4", "127.0.0.1", "127.0.0.1", service.TCP},
		{"tcp4", "127.0.0.1", "0.0.0.0", service.TCP},
		{"tcp4", "0.0.0.0", "127.0.0.1", service.TCP},
		{"tcp6", "::1", "::1", service.TCP},
		{"tcp6", "::", "::1", service.TCP},
		{"tcp", "", "0.0.0.0", service.TCP}, // both families by one socket
		{"udp4", "127.0.0.1", "0.0.0.0", service.UDP},
		{"udp6", "::1", "::", service.UDP},
		{"udp", "", "127.0.0.1", service.UDP},
	} {
		t.Run(fmt.Sprintf("%s %s %s", c.network, c.listen, c.frontend), func(t *testing.T) {
			address := net.JoinHostPort(c.listen, "0")
			var local net.Addr
			if c.proto == service.TCP {
				l, err := net.Listen(c.network, address)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				local = l.Addr()
			} else {
				l, err := net.ListenPacket(c.network, address)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				local = l.LocalAddr()
			}
			port := int(netip.MustParseAddrPort(local.String()).Port())
			held, err := Sockets{}.Reserve(frontend(c.frontend, port, c.proto))
			switch {
			case err == nil:
				held.Close()
				t.Error("reserved")
			case err.Error() != want:
				t.Errorf("got %q, want %q", err, want)
			}
		})
	}
}

// What the tables do not tell is left away, and several processes are all named.
func TestHolder(t *testing.T) {
	const line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 %s 1 0000000000000000 100 0 0 10 0\n"
	write := func(proc, name, text string) {
		path := filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	process := func(proc, pid, name, socket string) {
		write(proc, pid+"/comm", name+"\n")
		if err := os.MkdirAll(filepath.Join(proc, pid, "fd"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(socket, filepath.Join(proc, pid, "fd/3")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, table, want string }{
		{"nothing is known", "", "a socket of the host has it"},
		{"another port", strings.ReplaceAll(fmt.Sprintf(line, "77"), "1F90", "1F91"), "a socket of the host has it"},
		{"another address", strings.ReplaceAll(fmt.Sprintf(line, "77"), "0100007F", "0101A8C0"), "a socket of the host has it"},
		{"a socket without process", fmt.Sprintf(line, "0"), "a socket of the host has it"},
		{"a process of another namespace", fmt.Sprintf(line, "99"), "a socket of the host has it, of a process that cannot be seen"},
		{"two processes", fmt.Sprintf(line, "77"), "processes nginx (pid 9), nginx (pid 812) have it"},
		{"one", fmt.Sprintf(line, "78"), "process a b (pid 10) has it"},
		{"no table", "garbage\n 0: x:y\n 0: 00:1F90 1 2 3 4 5 6 7 8 9\n", "a socket of the host has it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			proc := t.TempDir()
			write(proc, "thread-self/net/tcp", "  sl  local_address rem_address\n"+c.table)
			process(proc, "812", "nginx", "socket:[77]")
			process(proc, "9", "nginx", "socket:[77]")
			process(proc, "10", "a b", "socket:[78]")
			process(proc, "11", "other", "pipe:[77]")
			if got := holder(proc, frontend("127.0.0.1", 8080, service.TCP)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
