package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Snapshot returns what the calling thread's namespace has that a program could leave behind, and every file below the
// directories, as sorted lines: devices, addresses, routes of all tables, rules, permanent neighbours, queueing
// disciplines and filters, pins. Indices of devices, counters and lifetimes are left out, so that two snapshots are equal
// when nothing is left.
func Snapshot(dirs ...string) ([]string, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("take snapshot: open netlink: %w", err)
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("take snapshot: list devices: %w", err)
	}
	s := snapshot{h: h, names: map[int]string{}}
	for _, l := range links {
		s.names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, l := range links {
		s.add("device", l.Attrs().Name, l.Type(), l.Attrs().MTU, l.Attrs().Flags)
		if err := s.filters(l); err != nil {
			return nil, fmt.Errorf("take snapshot: %w", err)
		}
	}
	for _, part := range []func() error{s.addrs, s.routes, s.neighbours, func() error { return s.files(dirs) }} {
		if err := part(); err != nil {
			return nil, fmt.Errorf("take snapshot: %w", err)
		}
	}
	slices.Sort(s.lines)
	return s.lines, nil
}

// Unchanged takes a snapshot now and fails the test if its end finds another.
func Unchanged(t testing.TB, dirs ...string) {
	t.Helper()
	before, err := Snapshot(dirs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		after, err := Snapshot(dirs...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("something was left behind (-before +after):\n%s", diff)
		}
	})
}

type snapshot struct {
	h     *netlink.Handle
	names map[int]string
	lines []string
}

func (s *snapshot) add(kind string, what ...any) {
	s.lines = append(s.lines, kind+" "+fmt.Sprint(what...))
}

func (s *snapshot) addrs() error {
	addrs, err := s.h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		s.add("address", s.names[a.LinkIndex], " ", a.IPNet, " scope ", a.Scope)
	}
	return nil
}

func (s *snapshot) routes() error {
	routes, err := s.h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		s.add("route", r.Dst, " dev ", s.names[r.LinkIndex], " via ", r.Gw, " src ", r.Src, " table ", r.Table)
	}
	rules, err := s.h.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list rules: %w", err)
	}
	for _, r := range rules {
		s.add("rule", r.String())
	}
	return nil
}

func (s *snapshot) neighbours() error {
	neighbours, err := s.h.NeighList(0, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list neighbours: %w", err)
	}
	for _, n := range neighbours {
		if n.State&netlink.NUD_PERMANENT != 0 {
			s.add("neighbour", n.IP, " dev ", s.names[n.LinkIndex], " ", n.HardwareAddr)
		}
	}
	return nil
}

func (s *snapshot) filters(l netlink.Link) error {
	qdiscs, err := s.h.QdiscList(l)
	if err != nil {
		return fmt.Errorf("list queueing disciplines of %s: %w", l.Attrs().Name, err)
	}
	for _, q := range qdiscs {
		s.add("qdisc", l.Attrs().Name, " ", q.Type())
	}
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := s.h.FilterList(l, parent)
		if err != nil {
			return fmt.Errorf("list filters of %s: %w", l.Attrs().Name, err)
		}
		for _, f := range filters {
			s.add("filter", l.Attrs().Name, " ", f.Type(), " priority ", f.Attrs().Priority)
		}
	}
	return nil
}

func (s *snapshot) files(dirs []string) error {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && path != dir {
				s.add("file", path)
			}
			return err
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
