// Command bench measures Sluice against a bare pair of veth devices and against Docker's bridge, in one run.
//
// Two test hosts (integration/hosts) run the same Docker engine: one has a Sluice network with policy enforced at both
// containers, the other Docker's bridge with the firewall rules of a normal installation. Every datapath is measured
// once per round, in an order drawn anew for each; what is reported is the median of the rounds' ratios, since the
// machine's own speed changes more than the datapaths differ (docs/performance.md says more).
//
// It prints a table, writes every sample as JSON, and, after a complete run, docs/performance.md and its chart. Start
// reading at run in main.go; gates.go holds what is demanded.
package main
