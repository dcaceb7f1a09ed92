package hostport

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/service"
)

func frontend(addr string, port int, proto service.Protocol) service.Frontend {
	return service.Frontend{Addr: netip.MustParseAddr(addr), Port: uint16(port), Proto: proto}
}

// free finds a port that nobody has.
func free(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestReservedPortIsTaken(t *testing.T) {
	for _, addr := range []string{"0.0.0.0", "127.0.0.1", "::", "::1"} {
		for proto, network := range map[service.Protocol]string{service.TCP: "tcp", service.UDP: "udp"} {
			f := frontend(addr, free(t), proto)
			held, err := Sockets{}.Reserve(f)
			if err != nil {
				t.Errorf("Reserve(%s): %v", f, err)
				continue
			}
			if err := bindElsewhere(network, f); err == nil {
				t.Errorf("%s was bound while it was reserved", f)
			}
			if _, err := (Sockets{}).Reserve(f); err == nil || !strings.Contains(err.Error(), " has it") {
				t.Errorf("reserved %s twice: %v", f, err)
			}
			if err := held.Close(); err != nil {
				t.Error(err)
			}
			if err := bindElsewhere(network, f); err != nil {
				t.Errorf("%s is not free after its release: %v", f, err)
			}
		}
	}
}

// bindElsewhere does what a server of the host does: Go's listeners set SO_REUSEADDR for TCP.
func bindElsewhere(network string, f service.Frontend) error {
	address := netip.AddrPortFrom(f.Addr, f.Port).String()
	if network == "udp" {
		c, err := net.ListenPacket(network, address)
		if err == nil {
			c.Close()
		}
		return err
	}
	l, err := net.Listen(network, address)
	if err == nil {
		l.Close()
	}
	return err
}

func TestPortOfAServerIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	for _, addr := range []string{"0.0.0.0", "127.0.0.1"} {
		if c, err := (Sockets{}).Reserve(frontend(addr, port, service.TCP)); err == nil {
			c.Close()
			t.Errorf("reserved %s of a listening server", addr)
		}
	}
	// The families and protocols are apart.
	for _, f := range []service.Frontend{frontend("::", port, service.TCP), frontend("0.0.0.0", port, service.UDP)} {
		c, err := Sockets{}.Reserve(f)
		if err != nil {
			t.Errorf("Reserve(%s): %v", f, err)
			continue
		}
		c.Close()
	}
}

// A server that ended a moment ago leaves connections in TIME_WAIT: they must not keep a container from its port, and
// then the port must be held against others like any.
func TestPortWithWaitingConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	server.Close() // the side that closes first waits
	client.Close()
	l.Close()
	f := frontend("0.0.0.0", port, service.TCP)
	held, err := Sockets{}.Reserve(f)
	if err != nil {
		t.Fatalf("Reserve(%s): %v", f, err)
	}
	defer held.Close()
	if err := bindElsewhere("tcp", f); err == nil {
		t.Error("another server bound the port")
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		f    service.Frontend
		want string
	}{
		{frontend("192.0.2.1", 80, service.TCP), "does not have the address"},
		{frontend("2001:db8::1", 80, service.UDP), "does not have the address"},
		{frontend("0.0.0.0", 80, 1), "has no ports"},
	} {
		if _, err := (Sockets{}).Reserve(c.f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Reserve(%s): %v, want %q", c.f, err, c.want)
		}
	}
}
