package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/datapath/link"
)

// Remove takes out of the kernel whatever a daemon with this prefix and directory of pins left: pairs, gateway
// addresses, filters, and all that is pinned. Containers that are still there lose their network. No daemon may run.
func Remove(prefix, pinDir string) error {
	host, err := link.Open(prefix)
	if err != nil {
		return fmt.Errorf("remove datapath: %w", err)
	}
	defer host.Close()
	pairs, err := host.List()
	errs := []error{err}
	for slot := range pairs {
		errs = append(errs, host.Delete(slot))
	}
	errs = append(errs, host.SetGateways(nil))
	n, err := host.Network()
	errs = append(errs, err)
	for _, d := range n.Devices {
		errs = append(errs, hooks{host: host}.unfilter(d.Ifindex))
	}
	// Links before what their programs use: an array of programs is emptied when its last user outside programs goes.
	for _, dir := range []string{"uplinks", "cgroup", "doors"} {
		errs = append(errs, os.RemoveAll(filepath.Join(pinDir, dir)))
	}
	if err := os.RemoveAll(pinDir); !errors.Is(err, unix.EBUSY) { // a file system is mounted at the directory itself
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove datapath: %w", err)
	}
	return nil
}
