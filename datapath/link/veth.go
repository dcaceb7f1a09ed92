package link

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Pair is a veth pair: one end stays with the host, the other moves into a container.
type Pair struct {
	Slot    uint32
	Name    string // of the host's side
	Ifindex int
	MAC     net.HardwareAddr
	Peer    string // name of the container's side while the host has it
}

// queueLength is the transmit queue length that a veth has by default; queueing disciplines added later scale by it.
const queueLength = 1000

// Create makes the pair of a slot, the host's side up and set up for a container, the peer down in the host's
// namespace. It returns ErrExists if there is one.
//
// Both ends get explicit addresses, since udev replaces those that the kernel chose.
func (h *Host) Create(slot uint32) (Pair, error) {
	hostMAC, peerMAC, err := randomMACs()
	if err != nil {
		return Pair{}, fmt.Errorf("make veth pair %s: %w", h.Name(slot), err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.TxQLen, attrs.Flags = h.Name(slot), hostMAC, queueLength, net.FlagUp
	err = h.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: h.PeerName(slot), PeerHardwareAddr: peerMAC, PeerTxQLen: queueLength,
	})
	if errors.Is(err, unix.EEXIST) {
		return Pair{}, fmt.Errorf("make veth pair %s: %w", attrs.Name, ErrExists)
	}
	if err != nil {
		return Pair{}, fmt.Errorf("make veth pair %s: %w", attrs.Name, err)
	}
	l, err := h.byName(attrs.Name)
	if err != nil {
		return Pair{}, err
	}
	if err := setUp(attrs.Name); err != nil {
		return Pair{}, errors.Join(err, h.Delete(slot))
	}
	return h.pair(slot, l), nil
}

func (h *Host) pair(slot uint32, l netlink.Link) Pair {
	a := l.Attrs()
	return Pair{Slot: slot, Name: a.Name, Ifindex: a.Index, MAC: a.HardwareAddr, Peer: h.PeerName(slot)}
}

// randomMACs returns two locally administered unicast addresses.
func randomMACs() (host, peer net.HardwareAddr, err error) {
	b := make([]byte, 12)
	if _, err := rand.Read(b); err != nil {
		return nil, nil, err
	}
	b[0], b[6] = b[0]&^1|2, b[6]&^1|2
	return b[:6:6], b[6:], nil
}

// Delete removes the pair of a slot with its routes and neighbours. It takes tens of milliseconds.
func (h *Host) Delete(slot uint32) error {
	l, err := h.byName(h.Name(slot))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if l.Type() != "veth" {
		return fmt.Errorf("delete veth pair %s: it is a device of type %s", h.Name(slot), l.Type())
	}
	if err := h.nl.LinkDel(l); err != nil && !gone(err) {
		return fmt.Errorf("delete veth pair %s: %w", h.Name(slot), err)
	}
	return nil
}

// List returns the pairs of this Host's prefix, by slot.
func (h *Host) List() (map[uint32]Pair, error) {
	links, err := again(h.nl.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	pairs := map[uint32]Pair{}
	for _, l := range links {
		if slot, ok := h.slotOf(l.Attrs().Name); ok && l.Type() == "veth" {
			pairs[slot] = h.pair(slot, l)
		}
	}
	return pairs, nil
}

// Exists reports whether the device of a pair still has its index. It takes no lock that network changes hold, so it
// is quick even while devices are removed.
func Exists(p Pair) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(p.Name)
	if err != nil || unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req) != nil {
		return false
	}
	return int(req.Uint32()) == p.Ifindex
}
