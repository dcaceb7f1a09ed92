package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cilium/ebpf"
	ebpflink "github.com/cilium/ebpf/link"

	"github.com/sluice-net/sluice/datapath/link"
)

// DoorPrograms makes the two programs that a host's side of a veth pair carries all its life (implemented by Loader).
type DoorPrograms interface {
	// Doors returns new programs for a slot, which the caller closes: from judges what the container sends, to what the
	// host's stack sends to it.
	Doors(slot uint32) (from, to *ebpf.Program, err error)
}

// hooks attaches programs to devices and pins the links: by tcx where the kernel has it, otherwise by clsact, which
// needs no pins.
type hooks struct {
	host   *link.Host
	dir    string // of pins: dir/NAME/{from,to}
	clsact bool
}

// haveTCX says whether the kernel has tcx, by asking for the links of the loopback device.
func haveTCX() bool {
	_, err := ebpflink.QueryPrograms(ebpflink.QueryOptions{Target: 1, Attach: ebpf.AttachTCXIngress})
	return err == nil
}

var hookPins = map[link.Direction]string{link.Ingress: "from", link.Egress: "to"}

// attach puts a program at a hook of a device, or replaces the one there. name tells devices apart in the pins.
func (k hooks) attach(name string, ifindex int, d link.Direction, p *ebpf.Program) error {
	if k.clsact {
		return k.host.SetFilter(ifindex, d, p.FD(), "sluice_"+hookPins[d])
	}
	pin := filepath.Join(k.dir, name, hookPins[d])
	switch err := k.update(pin, ifindex, p); {
	case err == nil:
		return nil
	case !errors.Is(err, errNoLink):
		return err
	}
	at := ebpf.AttachTCXIngress
	if d == link.Egress {
		at = ebpf.AttachTCXEgress
	}
	l, err := ebpflink.AttachTCX(ebpflink.TCXOptions{Interface: ifindex, Program: p, Attach: at})
	if err != nil {
		return fmt.Errorf("attach program to %s of device %d: %w", d, ifindex, err)
	}
	defer l.Close()
	if err := os.MkdirAll(filepath.Dir(pin), 0o700); err != nil {
		return fmt.Errorf("pin link at %s: %w", pin, err)
	}
	if err := l.Pin(pin); err != nil {
		return fmt.Errorf("pin link at %s: %w", pin, err)
	}
	return nil
}

// errNoLink: no link is pinned that could be updated.
var errNoLink = errors.New("no link pinned")

// update replaces the program of a pinned link. A pin of a device that is gone, or of another one, is removed.
func (k hooks) update(pin string, ifindex int, p *ebpf.Program) error {
	l, err := ebpflink.LoadPinnedLink(pin, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return errNoLink
	}
	if err != nil {
		return fmt.Errorf("open pinned link %s: %w", pin, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return fmt.Errorf("inspect pinned link %s: %w", pin, err)
	}
	if t := info.TCX(); t != nil && int(t.Ifindex) == ifindex {
		if err := l.Update(p); err != nil {
			return fmt.Errorf("replace program of pinned link %s: %w", pin, err)
		}
		return nil
	}
	if err := os.Remove(pin); err != nil {
		return fmt.Errorf("remove stale pin: %w", err)
	}
	return errNoLink
}

// detach takes the program from a hook of a device. One that is not there is no error.
func (k hooks) detach(name string, ifindex int, d link.Direction) error {
	if k.clsact {
		return k.unfilterAt(ifindex, d)
	}
	err := os.Remove(filepath.Join(k.dir, name, hookPins[d]))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove pinned link: %w", err)
	}
	return nil
}

// unpin lets go of the links of a name. A device that still exists loses its programs.
func (k hooks) unpin(name string) error {
	if err := os.RemoveAll(filepath.Join(k.dir, name)); err != nil {
		return fmt.Errorf("remove pinned links: %w", err)
	}
	return nil
}

// settle removes what the other way of attaching left on a device that this one serves now.
func (k hooks) settle(name string, ifindex int) error {
	if k.clsact {
		return k.unpin(name)
	}
	return k.unfilter(ifindex)
}

// unfilter removes this daemon's clsact filters from a device.
func (k hooks) unfilter(ifindex int) error {
	for d := range hookPins {
		if err := k.unfilterAt(ifindex, d); err != nil {
			return err
		}
	}
	return nil
}

func (k hooks) unfilterAt(ifindex int, d link.Direction) error {
	_, err := k.host.FilterProgram(ifindex, d)
	if errors.Is(err, link.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = k.host.DeleteFilter(ifindex, d)
	}
	return err
}

// names returns the names that have pins.
func (k hooks) names() ([]string, error) {
	entries, err := os.ReadDir(k.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list pinned links: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// hang attaches the two doors of a slot.
func (k hooks) hang(doors DoorPrograms, slot uint32, ifindex int) error {
	from, to, err := doors.Doors(slot)
	if err != nil {
		return fmt.Errorf("make doors of slot %d: %w", slot, err)
	}
	defer from.Close()
	defer to.Close()
	name := slotPins(slot)
	if err := k.attach(name, ifindex, link.Ingress, from); err != nil {
		return err
	}
	return k.attach(name, ifindex, link.Egress, to)
}

// slotPins names the pins of a slot's doors.
func slotPins(slot uint32) string { return strconv.FormatUint(uint64(slot), 10) }
