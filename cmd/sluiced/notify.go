package main

import (
	"fmt"
	"net"
	"os"
)

// notifyReady tells systemd that the daemon serves, as sd_notify(3) does; without systemd it does nothing. The engine is
// started after that: the unit is of Type=notify and comes before docker.service.
func notifyReady() error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// A name that begins with @ is one of the abstract namespace, for package net too.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("READY=1")); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
