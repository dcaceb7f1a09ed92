package link

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Watch calls changed whenever devices, their queues, addresses or routes of the host changed, other than those of the containers of
// this Host, or messages about it were lost: read Network then. It returns nil when ctx ends, and an error when the
// subscription breaks. ready is called once when it stands; what happens later is not missed.
func (h *Host) Watch(ctx context.Context, ready, changed func()) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_TC)
	if err != nil {
		return fmt.Errorf("watch the host's network: %w", err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	ready()
	for {
		messages, _, err := s.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			changed()
			continue
		case err != nil:
			return fmt.Errorf("watch the host's network: %w", err)
		}
		for i := range messages {
			if h.matters(&messages[i]) {
				changed()
				break
			}
		}
	}
}

// matters leaves out what this Host's own doings cause.
func (h *Host) matters(m *syscall.NetlinkMessage) bool {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		name, err := deviceName(m.Data)
		return err != nil || !h.ours(name)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if len(m.Data) < unix.SizeofRtMsg {
			return true
		}
		r := nl.DeserializeRtMsg(m.Data)
		return r.Protocol != RouteProtocol && r.Flags&unix.RTM_F_CLONED == 0
	case unix.RTM_NEWQDISC, unix.RTM_DELQDISC, unix.RTM_NEWTCLASS, unix.RTM_DELTCLASS, unix.RTM_NEWTFILTER,
		unix.RTM_DELTFILTER, unix.RTM_NEWCHAIN, unix.RTM_DELCHAIN:
		return queueChanged(m)
	}
	return true
}

// deviceName finds the name in a message about a device.
func deviceName(data []byte) (string, error) {
	if len(data) < unix.SizeofIfInfomsg {
		return "", errors.New("parse link message: truncated")
	}
	attrs, err := nl.ParseRouteAttr(data[unix.SizeofIfInfomsg:])
	if err != nil {
		return "", fmt.Errorf("parse link message: %w", err)
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.IFLA_IFNAME {
			return strings.TrimRight(string(a.Value), "\x00"), nil
		}
	}
	return "", nil
}
