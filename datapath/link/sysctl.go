package link

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// sysctls is the directory of the network's sysctls; which namespace's depends on the calling thread.
const sysctls = "/proc/sys/net"

const disableIPv6 = "disable_ipv6"

// hostSide are the settings of a host's side, under net/FAMILY/conf/DEVICE:
//   - forwarding: bpf_fib_lookup answers "forwarding disabled" for packets that arrive by the device otherwise;
//   - the host neither filters by reverse path (a route by way of another network would be dropped), nor answers ARP
//     or ND for others, nor learns routes from containers, nor gives the device an address or redirects containers.
//
// IPv6 stays off until Configure sees an IPv6 address, so that an idle device sends nothing.
var hostSide = []struct{ family, key, value string }{
	{"ipv4", "forwarding", "1"},
	{"ipv4", "rp_filter", "0"},
	{"ipv4", "proxy_arp", "0"},
	{"ipv4", "accept_redirects", "0"},
	{"ipv4", "send_redirects", "0"},
	{"ipv6", disableIPv6, "1"},
	{"ipv6", "addr_gen_mode", "1"},
	{"ipv6", "accept_ra", "0"},
	{"ipv6", "accept_redirects", "0"},
	{"ipv6", "proxy_ndp", "0"},
	{"ipv6", "forwarding", "1"},
}

// setUp makes the settings of a new host's side.
func setUp(device string) error {
	for _, s := range hostSide {
		if err := setSysctl(s.family, device, s.key, s.value); err != nil && !without(s.family, err) {
			return err
		}
	}
	return nil
}

// keepUp makes them again: udev applies the patterns of sysctl.d some time after a device appeared.
func keepUp(device string) error {
	for _, s := range hostSide {
		if s.key == disableIPv6 {
			continue
		}
		if err := setSysctl(s.family, device, s.key, s.value); err != nil && !without(s.family, err) {
			return err
		}
	}
	return nil
}

// without reports whether an error only says that the kernel runs without IPv6.
func without(family string, err error) bool {
	return family == "ipv6" && errors.Is(err, fs.ErrNotExist)
}

// enableIPv6 turns IPv6 on for a device.
func enableIPv6(device string) error {
	err := setSysctl("ipv6", device, disableIPv6, "0")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("turn IPv6 on for %s: this kernel runs without IPv6; boot without ipv6.disable=1, or use networks "+
			"without IPv6", device)
	}
	return err
}

func setSysctl(family, device, key, value string) error {
	path := filepath.Join(family, "conf", device, key)
	if now, err := os.ReadFile(filepath.Join(sysctls, path)); err == nil && strings.TrimSpace(string(now)) == value {
		return nil
	}
	err := os.WriteFile(filepath.Join(sysctls, path), []byte(value), 0)
	if errors.Is(err, unix.EROFS) {
		err = writeFreshProc(filepath.Join("sys/net", path), value)
	}
	if err != nil {
		return fmt.Errorf("set sysctl net.%s.conf.%s.%s to %s: %w", family, device, key, value, err)
	}
	return nil
}

// writeFreshProc writes a file of a procfs that is mounted for this, nowhere: /proc/sys is read-only in a managed Docker
// plugin.
func writeFreshProc(path, value string) error {
	context, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open procfs: %w", err)
	}
	defer unix.Close(context)
	if err := unix.FsconfigCreate(context); err != nil {
		return fmt.Errorf("open procfs: %w", err)
	}
	root, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("mount procfs: %w", err)
	}
	defer unix.Close(root)
	fd, err := unix.Openat(root, path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), path)
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
