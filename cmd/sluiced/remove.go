package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/datapath"
)

// remove takes out of the kernel whatever a daemon of this configuration left; its store stays. A daemon that runs is
// told by its sockets, and refused.
func remove(c *config, _ *logrus.Logger) error {
	d := &daemon{config: c}
	if err := d.wireSockets(context.Background()); err != nil {
		return errors.Join(fmt.Errorf("remove: %w", err), d.close())
	}
	if err := d.lockPrefix(); err != nil {
		return errors.Join(fmt.Errorf("remove: %w", err), d.close())
	}
	err := datapath.Remove(c.linkPrefix, c.pinDir)
	if e := unix.Unmount(c.cgroupFallback(), unix.MNT_DETACH); e != nil && e != unix.EINVAL && e != unix.ENOENT {
		err = errors.Join(err, fmt.Errorf("unmount %s: %w", c.cgroupFallback(), e))
	}
	return errors.Join(err, d.close())
}

// cgroupFallback is where the daemon mounts the control groups if they are mounted nowhere.
func (c *config) cgroupFallback() string { return filepath.Join(c.runDir, "cgroup") }
