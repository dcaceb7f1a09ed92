package datapath

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Settle returns when no packet is in a program any more that was replaced before the call: from then on every packet is
// judged by what the slots hold now. It takes a grace period of the kernel, 10 to 40 ms, and is for callers who promise
// that; without it the last packets leave an old program within microseconds.
//
// The kernel has no call for it, but it waits just so after user space has changed a map of maps
// (maybe_wait_bpf_programs in kernel/bpf/syscall.c).
func (l *Loader) Settle() error {
	spec := &ebpf.MapSpec{Name: "settle", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	inner, err := ebpf.NewMap(spec)
	if err != nil {
		return fmt.Errorf("wait for replaced programs: %w", err)
	}
	defer inner.Close()
	outer, err := ebpf.NewMap(&ebpf.MapSpec{Name: "settle", Type: ebpf.ArrayOfMaps, KeySize: 4, MaxEntries: 1, InnerMap: spec})
	if err != nil {
		return fmt.Errorf("wait for replaced programs: %w", err)
	}
	defer outer.Close()
	if err := outer.Put(uint32(0), inner); err != nil {
		return fmt.Errorf("wait for replaced programs: %w", err)
	}
	return nil
}
