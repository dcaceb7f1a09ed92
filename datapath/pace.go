package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/sluice-net/sluice/internal/abi"
)

// paceHook is the program that makes local TCP keep to the containers' limits. The kernel runs it several times for each
// connection of the whole host, so it is attached only while a container has a limit.
const paceHook = "pace"

// pacer knows who has a limit, and where to attach it.
type pacer struct {
	mu          sync.Mutex
	limited     map[uint32]bool // by slot
	cgroup, pin string          // empty until PaceSockets
}

// PaceSockets makes TCP sockets of this host keep to the containers' limits, from now on: whenever there is one. The link is
// pinned as PINDIR/cgroup/pace.
func (l *Loader) PaceSockets(cgroup, pinDir string) error {
	l.pacer.mu.Lock()
	defer l.pacer.mu.Unlock()
	l.pacer.cgroup, l.pacer.pin = cgroup, filepath.Join(pinDir, "cgroup", paceHook)
	if err := l.findLimits(); err != nil {
		return fmt.Errorf("pace sockets: %w", err)
	}
	return l.attachPace()
}

// findLimits reads which slots have a limit from the map, which a former daemon may have written.
func (l *Loader) findLimits() error {
	m := l.maps.get(ratesMap)
	if m == nil {
		return nil // the object knows no limits
	}
	var key uint32
	var r abi.Rate
	entries := m.Iterate()
	for entries.Next(&key, &r) {
		if r.BitsPerSecond != 0 {
			l.pacer.limited[key/2] = true
		}
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("read map %s: %w", ratesMap, err)
	}
	return nil
}

// pace notes whether a slot has a limit, and attaches or detaches where that makes a difference.
func (l *Loader) pace(slot uint32, limited bool) error {
	l.pacer.mu.Lock()
	defer l.pacer.mu.Unlock()
	before := len(l.pacer.limited)
	if limited {
		l.pacer.limited[slot] = true
	} else {
		delete(l.pacer.limited, slot)
	}
	if (before > 0) == (len(l.pacer.limited) > 0) {
		return nil
	}
	return l.attachPace()
}

// attachPace makes the hook follow from the limits.
func (l *Loader) attachPace() error {
	switch {
	case l.pacer.pin == "" || l.socket.programs[paceHook] == nil:
		return nil
	case len(l.pacer.limited) == 0:
		if err := os.Remove(l.pacer.pin); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("detach %s: %w", paceHook, err)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(l.pacer.pin), 0o700); err != nil {
		return fmt.Errorf("attach %s: %w", paceHook, err)
	}
	constants, err := l.socket.constants(nil)
	if err != nil {
		return fmt.Errorf("load %s: %w", paceHook, err)
	}
	defer constants.Close()
	p, err := l.socket.load(paceHook, constants, nil)
	if err != nil {
		return fmt.Errorf("load socket programs: %w", err)
	}
	defer p.Close()
	return attachSocket(l.pacer.cgroup, l.pacer.pin, paceHook, p)
}
