// Package load generates traffic and measures what it costs.
//
// A measurement is two processes of this program, a server and a client, each in its network namespace and each one
// thread: locked, pinned to a CPU, and in blocking system calls that the Go scheduler knows nothing of. So no poller,
// no collector and no hand-over between threads is measured, only the kernel's path. The processes tell the CPU time
// of their thread, and the client the time of each transaction.
//
// Start reading at Measure in measure.go, which runs both processes; Main is what runs in each.
package load
