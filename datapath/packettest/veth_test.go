package packettest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
)

// patience is how long a connection that must work may take; impatience how long one that must not is waited for.
const (
	patience   = 5 * time.Second
	impatience = 400 * time.Millisecond
)

// ip runs the ip command.
func ip(t testing.TB, format string, args ...any) {
	t.Helper()
	line := strings.Fields(fmt.Sprintf(format, args...))
	if out, err := exec.Command("ip", line...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(line, " "), err, out)
	}
}

// inside runs f on a thread in a network namespace.
func inside(t testing.TB, name string, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		fd, err := unix.Open("/run/netns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// station is a container in a namespace of its own, behind a veth pair with doors.
type station struct {
	container
	k    *kernel
	name string
}

// plug makes the namespace, the veth pair and the doors of c; the host's side gets c's ifindex.
func (k *kernel) plug(c container, name string) *station {
	t := k.t
	t.Helper()
	ip(t, "netns add %s", name)
	t.Cleanup(func() { ip(t, "netns del %s", name) })
	ip(t, "link add h%s address %s type veth peer name c%s address %s netns %s", name, c.hostMAC, name, c.mac, name)
	t.Cleanup(func() { ip(t, "link del h%s", name) }) // the namespace goes later, in its own time
	ip(t, "-n %s link set lo up", name)
	ip(t, "-n %s link set c%s up", name, name)
	ip(t, "link set h%s up", name)
	ip(t, "-n %s addr add %s dev c%s", name, c.ip4, name)
	ip(t, "-n %s addr add %s dev c%s nodad", name, c.ip6, name)
	ip(t, "-n %s route add default via %s", name, c.gw4)
	ip(t, "-n %s route add default via %s", name, c.gw6)
	ip(t, "route add %s dev h%s src %s", c.ip4.Addr(), name, c.gw4)
	ip(t, "route add %s dev h%s src %s", c.ip6.Addr(), name, c.gw6)
	device, err := net.InterfaceByName("h" + name)
	if err != nil {
		t.Fatal(err)
	}
	c.ifindex = device.Index
	k.attachDoors(c)
	return &station{c, k, name}
}

func (k *kernel) attachDoors(c container) {
	t := k.t
	t.Helper()
	spec := k.spec.Copy()
	if err := spec.Variables["DOOR_SLOT"].Set(c.slot); err != nil {
		t.Fatal(err)
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: k.linked(spec)})
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	for name, hook := range map[string]ebpf.AttachType{"door_from": ebpf.AttachTCXIngress, "door_to": ebpf.AttachTCXEgress} {
		l, err := link.AttachTCX(link.TCXOptions{Interface: c.ifindex, Program: coll.Programs[name], Attach: hook})
		if errors.Is(err, ebpf.ErrNotSupported) {
			testutil.NotSupported(t, "tcx", "6.6", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
}

// load replaces the station's programs.
func (s *station) load(o options) { s.k.load(s.container, o) }

// echoes serves every connection and datagram on port 80 with its own bytes.
func (s *station) echoes(addr netip.Addr) {
	t := s.k.t
	t.Helper()
	inside(t, s.name, func() error { return serve(t, netip.AddrPortFrom(addr, 80)) })
}

func serve(t testing.TB, at netip.AddrPort) error {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return err
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	p, err := net.ListenPacket("udp", at.String())
	if err != nil {
		return err
	}
	t.Cleanup(func() { p.Close() })
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			p.WriteTo(b[:n], from)
		}
	}()
	return nil
}

// exchange sends size bytes to port 80 and wants them back. For datagrams size is that of one.
func exchange(network string, to netip.Addr, size int, limit time.Duration) error {
	c, err := net.DialTimeout(network, netip.AddrPortFrom(to, 80).String(), limit)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	out := make([]byte, size)
	for i := range out {
		out[i] = byte(i)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(out)
		sent <- err
	}()
	in := make([]byte, size)
	if _, err = io.ReadFull(c, in); err != nil {
		return err
	}
	if err = <-sent; err != nil {
		return err
	}
	if string(in) != string(out) {
		return errors.New("other bytes came back")
	}
	return nil
}

// ping sends one echo request and waits for its answer.
func ping(to netip.Addr, limit time.Duration) error {
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if to.Is6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	c, err := net.Dial(network, to.String())
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	b := []byte{request, 0, 0, 0, 0x12, 0x34, 0, 1, 'p', 'i', 'n', 'g'}
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum+sum>>16)) // of IPv6 the kernel makes it
	if _, err = c.Write(b); err != nil {
		return err
	}
	for in := make([]byte, 100); ; {
		n, _, err := c.(*net.IPConn).ReadFrom(in) // Read would keep the IPv4 header
		if err != nil {
			return err
		}
		if n >= 8 && in[0] == reply && in[4] == 0x12 && in[5] == 0x34 {
			return nil
		}
	}
}

// wires is the host of the tests below: alice and bob plugged in, the gateways on the loopback device.
func wires(t *testing.T) (k *kernel, a, b *station) {
	k = newKernel(t)
	ip(t, "addr add %s/32 dev lo", alice.gw4)
	ip(t, "addr add %s/128 dev lo nodad", alice.gw6)
	t.Cleanup(func() {
		ip(t, "addr del %s/32 dev lo", alice.gw4)
		ip(t, "addr del %s/128 dev lo", alice.gw6)
	})
	a, b = k.plug(alice, "wa"), k.plug(bob, "wb")
	for _, s := range []*station{a, b} {
		e := abi.Endpoint{Ifindex: uint32(s.ifindex), Identity: s.identity, Network: s.network, Slot: s.slot}
		copy(e.MAC[:], s.mac)
		k.endpoint(s.ip4.Addr(), e)
		k.endpoint(s.ip6.Addr(), e)
		s.load(options{features: open})
	}
	return k, a, b
}

func (c container) address(family int) netip.Addr {
	if family == 4 {
		return c.ip4.Addr()
	}
	return c.ip6.Addr()
}

// Real sockets talk through real devices: pings, small and large TCP streams (segmentation offload, partial
// checksums), small and fragmented datagrams.
func TestPrivilegedVeth(t *testing.T) {
	k, a, b := wires(t)
	for _, family := range []int{4, 6} {
		b.echoes(b.address(family))
		inside(t, a.name, func() error {
			to := b.address(family)
			if err := ping(to, patience); err != nil {
				t.Errorf("ping %v: %v", to, err)
			}
			for _, test := range []struct {
				network string
				size    int
			}{{"tcp", 10}, {"tcp", 20 << 20}, {"udp", 10}, {"udp", 1472}, {"udp", 5000}, {"udp", 30000}} {
				if err := exchange(test.network, to, test.size, patience); err != nil {
					t.Errorf("%s of %d bytes to %v: %v", test.network, test.size, to, err)
				}
			}
			return nil
		})
	}
	if n := k.counted(abi.DirectionEgress, abi.DropInvalid) + k.counted(abi.DirectionIngress, abi.DropInvalid); n != 0 {
		t.Errorf("%d packets were found invalid", n)
	}
}

// The host reaches a container and a container the host.
func TestPrivilegedVethHost(t *testing.T) {
	_, a, b := wires(t)
	for _, family := range []int{4, 6} {
		gateway := alice.gw4
		if family == 6 {
			gateway = alice.gw6
		}
		if err := serve(t, netip.AddrPortFrom(gateway, 80)); err != nil {
			t.Fatal(err)
		}
		b.echoes(b.address(family))
		for _, network := range []string{"tcp", "udp"} {
			if err := exchange(network, b.address(family), 5000, patience); err != nil {
				t.Errorf("host to container: %s, IPv%d: %v", network, family, err)
			}
		}
		if err := ping(b.address(family), patience); err != nil {
			t.Errorf("host pings container, IPv%d: %v", family, err)
		}
		inside(t, a.name, func() error {
			for _, network := range []string{"tcp", "udp"} {
				if err := exchange(network, gateway, 5000, patience); err != nil {
					t.Errorf("container to host: %s, IPv%d: %v", network, family, err)
				}
			}
			if err := ping(gateway, patience); err != nil {
				t.Errorf("container pings host, IPv%d: %v", family, err)
			}
			return nil
		})
	}
}

// A policy closes a port for new connections, cuts the live one, and opens it again, in either container's program.
func TestPrivilegedVethPolicy(t *testing.T) {
	_, a, b := wires(t)
	for _, family := range []int{4, 6} {
		to := b.address(family)
		b.echoes(to)
		var live net.Conn
		inside(t, a.name, func() (err error) {
			live, err = net.DialTimeout("tcp", netip.AddrPortFrom(to, 80).String(), patience)
			return err
		})
		t.Cleanup(func() { live.Close() })
		say := func(limit time.Duration) error {
			live.SetDeadline(time.Now().Add(limit))
			if _, err := live.Write([]byte("x")); err != nil {
				return err
			}
			_, err := live.Read(make([]byte, 1))
			return err
		}
		revision := uint32(family * 10)
		for _, policy := range []string{"policy_egress", "policy_ingress"} {
			s := map[string]*station{"policy_egress": a, "policy_ingress": b}[policy]
			judge := func(v stub) {
				o := closedBy(policy, v)
				revision++
				o.revision = revision
				s.load(o)
			}
			judge(answer(1, false))
			if err := say(impatience); err == nil {
				t.Errorf("%s, IPv%d: the live connection goes on", policy, family)
			}
			inside(t, a.name, func() error {
				for _, network := range []string{"tcp", "udp"} {
					if err := exchange(network, to, 10, impatience); err == nil {
						t.Errorf("%s, IPv%d: %s passes", policy, family, network)
					}
				}
				if err := ping(to, impatience); err == nil {
					t.Errorf("%s, IPv%d: a ping passes", policy, family)
				}
				return nil
			})
			judge(answer(1, true))
			if err := say(patience); err != nil {
				t.Errorf("%s, IPv%d: the live connection, allowed again: %v", policy, family, err)
			}
			live.SetDeadline(time.Now().Add(impatience))
			live.Read(make([]byte, 1)) // what was written while it was cut
		}
	}
}

// An empty slot drops everything.
func TestPrivilegedVethEmptySlot(t *testing.T) {
	k, a, b := wires(t)
	b.echoes(b.address(4))
	if err := k.maps["egress_slots"].Delete(a.slot); err != nil {
		t.Fatal(err)
	}
	inside(t, a.name, func() error {
		if err := exchange("tcp", b.address(4), 10, impatience); err == nil {
			t.Error("a container without program reaches another")
		}
		return nil
	})
	if n := k.counted(abi.DirectionEgress, abi.DropNoSlot); n == 0 {
		t.Error("the drop was not counted")
	}
}
