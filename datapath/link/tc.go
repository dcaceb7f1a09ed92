package link

import (
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Direction of a hook, as the host sees the device.
type Direction int

const (
	// Ingress: what the device hands to the host. For a host's side of a pair that is what the container sends.
	Ingress Direction = iota
	// Egress: what the host sends by the device.
	Egress
)

// String names the direction.
func (d Direction) String() string {
	if d == Egress {
		return "egress"
	}
	return "ingress"
}

func (d Direction) parent() uint32 {
	if d == Egress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

// filterPriority is that of every filter of Sluice, of all daemons: within it they are told apart by their handles.
const filterPriority = 115

// filterHandle is the handle of this Host's filters. It differs with the prefix, so that several daemons can share an
// uplink.
func (h *Host) filterHandle() uint32 {
	f := fnv.New32a()
	f.Write([]byte(h.prefix))
	return f.Sum32()&0x7fffffff | 1
}

func (h *Host) filter(ifindex int, d Direction) netlink.FilterAttrs {
	return netlink.FilterAttrs{LinkIndex: ifindex, Parent: d.parent(), Handle: h.filterHandle(), Priority: filterPriority,
		Protocol: unix.ETH_P_ALL}
}

// SetFilter attaches a program (its descriptor) to a device by clsact, in direct-action mode, or replaces the one that
// SetFilter attached before, without a gap.
func (h *Host) SetFilter(ifindex int, d Direction, program int, name string) error {
	q := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{LinkIndex: ifindex,
		Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := h.nl.QdiscAdd(q); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact to device %d: %w", ifindex, err)
	}
	f := &netlink.BpfFilter{FilterAttrs: h.filter(ifindex, d), Fd: program, Name: name, DirectAction: true}
	if err := h.nl.FilterReplace(f); err != nil {
		return fmt.Errorf("attach %s to %s of device %d: %w", name, d, ifindex, err)
	}
	return nil
}

// DeleteFilter removes what SetFilter attached, and clsact if no filter of anybody is left.
func (h *Host) DeleteFilter(ifindex int, d Direction) error {
	f := &netlink.BpfFilter{FilterAttrs: h.filter(ifindex, d)}
	if err := h.nl.FilterDel(f); err != nil && !gone(err) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("detach filter from %s of device %d: %w", d, ifindex, err)
	}
	for _, other := range []Direction{Ingress, Egress} {
		filters, err := h.filters(ifindex, other)
		if err != nil || len(filters) != 0 {
			return err
		}
	}
	q := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{LinkIndex: ifindex,
		Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := h.nl.QdiscDel(q); err != nil && !gone(err) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("delete clsact of device %d: %w", ifindex, err)
	}
	return nil
}

// FilterProgram returns the id of the program that SetFilter attached, or ErrNotFound.
func (h *Host) FilterProgram(ifindex int, d Direction) (uint32, error) {
	filters, err := h.filters(ifindex, d)
	if err != nil {
		return 0, err
	}
	for _, f := range filters {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Handle == h.filterHandle() && b.Priority == filterPriority {
			return uint32(b.Id), nil
		}
	}
	return 0, fmt.Errorf("find filter at %s of device %d: %w", d, ifindex, ErrNotFound)
}

func (h *Host) filters(ifindex int, d Direction) ([]netlink.Filter, error) {
	device := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
	filters, err := again(func() ([]netlink.Filter, error) { return h.nl.FilterList(device, d.parent()) })
	if err != nil && !gone(err) && !errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("list filters at %s of device %d: %w", d, ifindex, err)
	}
	return filters, nil
}
