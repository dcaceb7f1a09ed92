// Package link tells the host's network stack about containers: veth pairs, the settings of their host side, routes and
// neighbours towards the containers, the networks' gateway addresses, tc filters, and what the uplinks are. It speaks
// netlink and writes sysctls, and nothing else: it loads no BPF, keeps no state and knows no container.
//
// Everything is idempotent: what exists already as wanted succeeds, and so does the removal of what is gone.
//
// A Host works in the network namespace of the thread that opened it, except for sysctls, which are those of the calling
// thread. It is safe for concurrent use, but its calls follow one another: open a second Host for slow work.
//
// Start reading at Host.Create (veth.go) and Host.Configure (route.go).
package link
