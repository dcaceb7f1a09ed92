// Package ipam gives networks their subnets and containers their addresses, as Docker's IPAM driver "sluice".
//
// It owns the pools and leases: every answer is in the store before Docker gets it, so that an address is never given
// twice, whatever dies in between. The arithmetic is in package pool; handler.go translates Docker's protocol. Pools
// never overlap, so that an address names one endpoint of the host.
//
// Docker is told that nothing need be replayed when it restarts; what Docker forgot to release is found by Reclaim.
//
// Start with Allocator.
package ipam
