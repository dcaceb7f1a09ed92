package link

import (
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func TestPaces(t *testing.T) {
	q := func(kind string, ifindex int, handle, parent uint32) netlink.Qdisc {
		return &netlink.GenericQdisc{QdiscType: kind,
			QdiscAttrs: netlink.QdiscAttrs{LinkIndex: ifindex, Handle: handle, Parent: parent}}
	}
	const root = netlink.HANDLE_ROOT
	clsact := q("clsact", 2, netlink.MakeHandle(0xffff, 0), netlink.HANDLE_CLSACT)
	for about, c := range map[string]struct {
		qdiscs []netlink.Qdisc
		want   bool
	}{
		"none":                 {nil, false},
		"fq":                   {[]netlink.Qdisc{clsact, q("fq", 2, 0x80010000, root)}, true},
		"fq of another device": {[]netlink.Qdisc{q("fq", 3, 0x80010000, root)}, false},
		"fq_codel":             {[]netlink.Qdisc{q("fq_codel", 2, 0, root)}, false},
		"fq below htb":         {[]netlink.Qdisc{q("htb", 2, 0x10000, root), q("fq", 2, 0x20000, 0x10001)}, false},
		"mq of fq": {[]netlink.Qdisc{q("mq", 2, 0, root), q("fq", 2, 0, 1), q("fq", 2, 0, 2), clsact,
			q("fq_codel", 3, 0, 1)}, true},
		"mq with a handle": {[]netlink.Qdisc{q("mq", 2, 0x10000, root), q("fq", 2, 0x20000, 0x10001)}, true},
		"mq of others":     {[]netlink.Qdisc{q("mq", 2, 0, root), q("fq", 2, 0, 1), q("pfifo_fast", 2, 0, 2)}, false},
		"mq of nothing":    {[]netlink.Qdisc{q("mq", 2, 0, root)}, false},
	} {
		if got := paces(2, c.qdiscs); got != c.want {
			t.Errorf("%s: paces %t", about, got)
		}
	}
}

// What Host does itself wakes nobody.
func TestQueueChanged(t *testing.T) {
	for about, c := range map[string]struct {
		kind   uint16
		parent uint32
		want   bool
	}{
		"a queue":          {unix.RTM_NEWQDISC, netlink.HANDLE_ROOT, true},
		"no queue":         {unix.RTM_DELQDISC, netlink.HANDLE_ROOT, true},
		"a queue below mq": {unix.RTM_NEWQDISC, 1, true},
		"a hook":           {unix.RTM_NEWQDISC, netlink.HANDLE_CLSACT, false},
		"a filter":         {unix.RTM_NEWTFILTER, netlink.HANDLE_MIN_INGRESS, false},
	} {
		m := &syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: c.kind}, Data: (&nl.TcMsg{Parent: c.parent}).Serialize()}
		if got := queueChanged(m); got != c.want {
			t.Errorf("%s: changed %t", about, got)
		}
	}
}
