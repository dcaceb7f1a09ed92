package main

import (
	"fmt"
	"net"
	"os"
)

// tell tells systemd how the daemon is.
func (d *daemon) tell(state string) {
	if err := notify(state); err != nil {
		d.log.WithError(err).Warn("tell systemd")
	}
}

// notify sends a state to the service manager that started the process (sd_notify(3)). Without one it does nothing.
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// Go takes a leading @ for the abstract namespace, as systemd does.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify %s: %w", state, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify %s: %w", state, err)
	}
	return nil
}
