package main

import (
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/ipam"
)

// hostDNS returns the servers that Docker's embedded DNS asks where neither container nor engine name any: those of the
// first of these files that has others than loopback addresses (systemd-resolved keeps the real ones apart). A file that
// cannot be read has none.
func hostDNS(files ...string) []netip.Addr {
	for _, file := range files {
		servers, _ := ipam.Nameservers(file)
		if servers = slices.DeleteFunc(servers, netip.Addr.IsLoopback); len(servers) > 0 {
			return servers
		}
	}
	return nil
}
