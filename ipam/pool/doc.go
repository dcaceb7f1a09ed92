// Package pool is the pure arithmetic of address pools: which addresses of a prefix are given away, which comes next,
// and which prefix is free for another pool.
//
// It remembers nothing on disk and asks nobody: package ipam gives it durability and Docker's protocol. Start with
// Pool; Block finds prefixes for automatic pools.
package pool
