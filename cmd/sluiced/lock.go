package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockDir, where only root may write, holds one lock for each network namespace and link prefix: two daemons with the
// same prefix in one namespace would take each other's veth pairs for leftovers, whatever their directories are.
const lockDir = "/run"

// lockPrefix takes the lock until the daemon ends; the kernel frees it however that happens.
func (d *daemon) lockPrefix() error {
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &ns); err != nil {
		return fmt.Errorf("lock link prefix %s: %w", d.config.linkPrefix, err)
	}
	path := filepath.Join(lockDir, fmt.Sprintf("sluice-%d-%s.lock", ns.Ino, d.config.linkPrefix))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("lock link prefix %s: %w", d.config.linkPrefix, err)
	}
	d.closing(file.Close)
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("another sluiced of this network namespace names its devices %s…: stop it, or give this one --link-prefix",
			d.config.linkPrefix)
	}
	if err != nil {
		return fmt.Errorf("lock link prefix %s: %w", d.config.linkPrefix, err)
	}
	return nil
}
