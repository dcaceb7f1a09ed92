package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// Doors loads the two programs that lead from a veth to the slot: from runs on what the container sends, to on what the
// host's stack sends to it. The caller attaches and closes them.
func (l *Loader) Doors(slot uint32) (from, to *ebpf.Program, err error) {
	if err := l.checkSlot(slot); err != nil {
		return nil, nil, err
	}
	from, to, err = l.container.pair("door_from", "door_to", map[string][]byte{"DOOR_SLOT": u32(slot)})
	if err != nil {
		return nil, nil, fmt.Errorf("load doors of slot %d: %w", slot, err)
	}
	return from, to, nil
}

// Uplink loads the program of the devices that lead to other hosts, which runs on what comes in. It serves every uplink.
// The caller attaches and closes it.
func (l *Loader) Uplink() (*ebpf.Program, error) {
	constants, err := l.uplink.constants(map[string][]byte{
		"MASQUERADE_PORT_MIN": u16(l.opts.MasqueradePorts[0]),
		"MASQUERADE_PORT_MAX": u16(l.opts.MasqueradePorts[1]),
	})
	if err != nil {
		return nil, fmt.Errorf("load uplink program: %w", err)
	}
	defer constants.Close()
	p, err := l.uplink.load("from_uplink", constants, nil)
	if err != nil {
		return nil, fmt.Errorf("load uplink program: %w", err)
	}
	return p, nil
}

// Sockets loads the cgroup programs, by name, for the network namespace with this cookie. The caller attaches and closes
// them.
func (l *Loader) Sockets(netnsCookie uint64) (map[string]*ebpf.Program, error) {
	constants, err := l.socket.constants(map[string][]byte{"NETNS_COOKIE": u64(netnsCookie)})
	if err != nil {
		return nil, fmt.Errorf("load socket programs: %w", err)
	}
	defer constants.Close()
	out := map[string]*ebpf.Program{}
	for name := range l.socket.programs {
		if name == paceHook {
			continue // see PaceSockets
		}
		p, err := l.socket.load(name, constants, nil)
		if err != nil {
			for _, p := range out {
				p.Close()
			}
			return nil, fmt.Errorf("load socket programs: %w", err)
		}
		out[name] = p
	}
	return out, nil
}

// pair loads two programs with the same constants.
func (t *template) pair(first, second string, values map[string][]byte) (a, b *ebpf.Program, err error) {
	constants, err := t.constants(values)
	if err != nil {
		return nil, nil, err
	}
	defer constants.Close()
	return t.both(first, second, constants, nil)
}

// both loads two programs side by side: nearly all of a load is the kernel's verifier, which uses one processor each.
func (t *template) both(first, second string, constants *ebpf.Map, tables map[string]*table) (a, b *ebpf.Program, err error) {
	var other error
	done := make(chan struct{})
	go func() {
		defer close(done)
		b, other = t.load(second, constants, tables)
	}()
	a, err = t.load(first, constants, tables)
	<-done
	if err = errors.Join(err, other); err != nil {
		for _, p := range []*ebpf.Program{a, b} {
			p.Close() // of nil it does nothing
		}
		return nil, nil, err
	}
	return a, b, nil
}
