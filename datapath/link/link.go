package link

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Errors of this package.
var (
	// ErrNotFound: no such device.
	ErrNotFound = errors.New("not found")
	// ErrExists: a device of that name is there already.
	ErrExists = errors.New("exists already")
)

// MaxPrefix is the longest name prefix: a device's name has 15 bytes, of which "p" and a slot of up to eight
// hexadecimal digits must fit behind it.
const MaxPrefix = 6

// RouteProtocol marks the routes to containers (rtnetlink's rtm_protocol; a number that no registry assigns).
const RouteProtocol = 115

var validPrefix = regexp.MustCompile(`^[a-z][a-z0-9_-]*[a-z_-]$`)

// Host is the host's network stack as far as Sluice changes it.
type Host struct {
	nl     *netlink.Handle
	raw    map[int]*nl.SocketHandle // for requests that netlink.Handle does not make
	prefix string
}

// Open connects to the network namespace of the calling thread. Devices of this Host are named with prefix.
func Open(prefix string) (*Host, error) {
	if err := CheckPrefix(prefix); err != nil {
		return nil, err
	}
	// The family is named because kernels without IPsec lack another that the library would want.
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	raw, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &Host{nl: handle, raw: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: raw}}, prefix: prefix}, nil
}

// CheckPrefix says whether device names can begin with prefix: two to six lower case letters, digits, "_" and "-", the
// first a letter and the last no digit. Of several daemons in one namespace, no prefix may begin with another's.
func CheckPrefix(prefix string) error {
	if len(prefix) > MaxPrefix || !validPrefix.MatchString(prefix) {
		return fmt.Errorf("check device prefix %q: want 2 to %d lower case letters, digits, _ or -, the first a letter and "+
			"the last no digit", prefix, MaxPrefix)
	}
	return nil
}

// Close frees the connection. Nothing in the kernel changes.
func (h *Host) Close() {
	h.nl.Close()
	for _, s := range h.raw {
		s.Close()
	}
}

// request begins a request of the raw kind.
func (h *Host) request(kind, flags int) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(kind, flags)
	r.Sockets = h.raw
	return r
}

// Name returns the name of the host's side of a slot's pair.
func (h *Host) Name(slot uint32) string { return h.prefix + strconv.FormatUint(uint64(slot), 16) }

// PeerName returns the name of the container's side of a slot's pair.
func (h *Host) PeerName(slot uint32) string {
	return h.prefix + "p" + strconv.FormatUint(uint64(slot), 16)
}

// slotOf is the reverse of Name.
func (h *Host) slotOf(name string) (slot uint32, ok bool) {
	digits, ok := strings.CutPrefix(name, h.prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	return uint32(n), err == nil && h.Name(uint32(n)) == name
}

// ours reports whether a device name is of this Host's naming: a host's side or a peer.
func (h *Host) ours(name string) bool {
	if _, ok := h.slotOf(name); ok {
		return true
	}
	rest, ok := strings.CutPrefix(name, h.prefix+"p")
	if !ok {
		return false
	}
	_, err := strconv.ParseUint(rest, 16, 32)
	return err == nil
}

// byName finds a device, or returns ErrNotFound.
func (h *Host) byName(name string) (netlink.Link, error) {
	l, err := h.nl.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, fmt.Errorf("find device %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("find device %s: %w", name, err)
	}
	return l, nil
}

// Has reports whether there is a device with this index.
func (h *Host) Has(ifindex int) bool {
	_, err := h.nl.LinkByIndex(ifindex)
	return err == nil
}

// again repeats a dump that the kernel marked as inconsistent, a few times.
func again[T any](dump func() (T, error)) (T, error) {
	for try := 0; ; try++ {
		v, err := dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == 9 {
			return v, err
		}
	}
}

// gone reports whether err says that the thing to be removed is not there.
func gone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) ||
		errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, ErrNotFound) || errors.As(err, &netlink.LinkNotFoundError{})
}
