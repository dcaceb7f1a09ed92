package link

import (
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// qdiscs lists the queueing disciplines of all devices. Whether a device keeps packets is worth knowing, not worth an error:
// without it limits drop instead.
func (h *Host) qdiscs() []netlink.Qdisc {
	list, err := again(func() ([]netlink.Qdisc, error) { return h.nl.QdiscList(nil) })
	if err != nil {
		return nil
	}
	return list
}

// paces reports whether every queue of a device is an fq: its only one, or each of those that mq gives to the device's own.
func paces(ifindex int, qdiscs []netlink.Qdisc) bool {
	var root netlink.Qdisc
	for _, q := range qdiscs {
		if a := q.Attrs(); a.LinkIndex == ifindex && a.Parent == netlink.HANDLE_ROOT {
			root = q
		}
	}
	if root == nil || root.Type() != "mq" {
		return root != nil && root.Type() == "fq"
	}
	leaves := 0
	for _, q := range qdiscs {
		a := q.Attrs()
		if a.LinkIndex != ifindex || a.Parent == netlink.HANDLE_ROOT || a.Parent>>16 != root.Attrs().Handle>>16 {
			continue
		}
		if q.Type() != "fq" {
			return false
		}
		leaves++
	}
	return leaves > 0
}

// queueChanged reports whether a message of traffic control is about a device's queues: not about the hooks of programs,
// which Host adds too.
func queueChanged(m *syscall.NetlinkMessage) bool {
	if m.Header.Type != unix.RTM_NEWQDISC && m.Header.Type != unix.RTM_DELQDISC {
		return false
	}
	return len(m.Data) < nl.SizeofTcMsg || nl.DeserializeTcMsg(m.Data).Parent != netlink.HANDLE_CLSACT
}
