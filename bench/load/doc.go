// Package load generates traffic and measures what it costs.
//
// A measurement is a process of this program with two threads, a server and a client, each in its network namespace:
// locked, pinned to a CPU, and in blocking system calls that the Go scheduler knows nothing of. So no poller, no
// collector and no hand-over between goroutines is measured, only the kernel's path; and since both share an address
// space, neither is the switch between two, which on some virtual machines costs more than any datapath. The threads
// tell their CPU time, and the client the time of each transaction.
//
// Start reading at Measure in measure.go, which starts the process; Main is what runs in it.
package load
