package nettest

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
)

// tun replaces the host's way out by a tun device, and gives the end of it that is a file.
func (w *world) tun() *os.File {
	w.t.Helper()
	l := &netlink.Tuntap{LinkAttrs: netlink.NewLinkAttrs(), Mode: netlink.TUNTAP_MODE_TUN, Queues: 1,
		Flags: netlink.TUNTAP_NO_PI}
	l.Name = "tun0"
	w.host.must(func() error { return netlink.LinkAdd(l) })
	w.t.Cleanup(func() { l.Fds[0].Close() })
	w.host.up("tun0")
	w.host.addr("tun0", "192.0.3.1/24", "2001:db8:3::1/64")
	w.host.route("tun0", "203.0.113.0/24", "", "")
	w.host.route("tun0", "2001:db8:9::/64", "", "")
	a := netip.MustParseAddr("192.0.3.1").As4()
	w.put("uplinks", uint32(w.host.link("tun0").Attrs().Index), abi.Uplink{MTU: 1500, Flags: abi.UplinkNoEthernet,
		Addr4: abi.BE32(binary.NativeEndian.Uint32(a[:])), Addr6: abi.FromAddr(netip.MustParseAddr("2001:db8:3::1"))})
	for _, s := range []string{"192.0.3.1", "2001:db8:3::1"} {
		w.put("endpoints", abi.FromAddr(netip.MustParseAddr(s)), abi.Endpoint{Identity: abi.IdentityHost, Flags: abi.EndpointHost})
	}
	w.uplinkProgram("tun0")
	return l.Fds[0]
}

// bounce reads UDP packets from the tun device and sends each back to where it came from. All sums stay right, since
// what is exchanged is summed alike.
func bounce(f *os.File, seen chan<- netip.AddrPort) {
	b := make([]byte, 2048)
	for {
		n, err := unix.Read(int(f.Fd()), b)
		if errors.Is(err, unix.EAGAIN) {
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}, 100)
			n = 0
		}
		if n <= 0 && (err == nil || errors.Is(err, unix.EINTR)) {
			continue
		}
		if err != nil {
			return
		}
		p := b[:n]
		addrs, proto, l4 := p[12:20], p[9], 20
		if p[0]>>4 == 6 {
			addrs, proto, l4 = p[8:40], p[6], 40
		}
		if proto != protoUDP || len(p) < l4+8 {
			continue
		}
		half := len(addrs) / 2
		a, _ := netip.AddrFromSlice(addrs[:half])
		if dst, _ := netip.AddrFromSlice(addrs[half:]); dst.IsMulticast() {
			continue
		}
		seen <- netip.AddrPortFrom(a, binary.BigEndian.Uint16(p[l4:]))
		swap(addrs)
		swap(p[l4 : l4+4])
		if _, err := unix.Write(int(f.Fd()), p); err != nil {
			return
		}
	}
}

// swap exchanges the halves.
func swap(b []byte) {
	half := len(b) / 2
	first := append([]byte(nil), b[:half]...)
	copy(b, b[half:])
	copy(b[half:], first)
}

// TestPrivilegedTun: an uplink without Ethernet header masquerades and publishes like any other.
func TestPrivilegedTun(t *testing.T) {
	w := newWorld(t, nil)
	f := w.tun()
	seen := make(chan netip.AddrPort, 100)
	go bounce(f, seen)
	for to, host := range map[string]string{far4: "192.0.3.1", far6: "2001:db8:3::1"} {
		c, err := w.alice.dial("udp", join(to, 80))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := c.Read(b)
		if err != nil || string(b[:n]) != "hello" {
			t.Fatalf("%s: read %q, %v; dropped:%s", to, b[:n], err, w.drops())
		}
		select {
		case from := <-seen:
			if from.Addr().String() != host || from.Port() < 61000 {
				t.Errorf("%s: left from %v", to, from)
			}
		case <-time.After(patience):
			t.Errorf("%s: nothing left", to)
		}
	}
}
