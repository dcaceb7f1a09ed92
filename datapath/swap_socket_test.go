package datapath

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// socketIn opens a datagram socket in a named network namespace.
func socketIn(name string) (fd int, err error) {
	ns, err := unix.Open("/run/netns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open namespace: %w", err)
	}
	defer unix.Close(ns)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with its namespace
		if err = unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("enter namespace: %w", err)
			return
		}
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}()
	<-done
	return fd, err
}
