// Package hosts makes test hosts: Docker engines that run side by side on one machine, each in namespaces of its own.
//
// A host has its own network, mounts, processes, plugin sockets and bpffs, a small outside world behind its eth0
// (init.sh draws it), one dockerd (Engine says which) and one sluiced. All of it is held by the host's first process
// and ends with it, also when the tests are killed. Engines are unpacked from Debian packages, never installed.
//
// Start reading at Up in host.go. What scenarios do with hosts is the parent package's matter.
package hosts
