// Package endpoint has the use-cases of Sluice: networks and endpoints come and go as Docker says, containers get their
// labels, policies change, programs are regenerated, ports are published, and what a crash left behind is put right.
//
// Manager owns the desired state: records in the store and their copy in memory. The kernel follows it, always in the
// order that a dying daemon can take up again: first the record, then the kernel, and what the kernel has beyond the
// records is removed at the next start (Restore) or when Docker has forgotten it (Reconcile). The package neither
// speaks Docker's protocol (driver) nor touches the kernel (datapath): it reaches both through the interfaces of
// kernel.go and engine.go.
//
// Start reading with Manager and with regenerate.go, the heart: every change ends there.
package endpoint
