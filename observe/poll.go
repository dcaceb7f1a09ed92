package observe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
)

// pollPeriod is how long records wait in a ring before they are read, all together: programs wake nobody before it is a
// quarter full.
const pollPeriod = 50 * time.Millisecond

// polled reads a ring in batches.
type polled struct {
	*ringbuf.Reader
	record ringbuf.Record
}

func newPolled(ring *ebpf.Map) (*polled, error) {
	r, err := ringbuf.NewReader(ring)
	if err != nil {
		return nil, err
	}
	r.SetDeadline(time.Now()) // nobody wakes a reader without one
	return &polled{Reader: r}, nil
}

// next waits for a record and returns it; it is valid until the next call. After Close it returns os.ErrClosed.
func (p *polled) next() ([]byte, error) {
	for {
		err := p.ReadInto(&p.record)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return p.record.RawSample, err
		}
		p.SetDeadline(time.Now().Add(pollPeriod)) // whatever there was is read
	}
}

// batch waits a moment for records, and gives those there are; each is valid until the next. After Close it returns
// os.ErrClosed.
func (p *polled) batch(most int, each func(record []byte)) error {
	p.SetDeadline(time.Now().Add(pollPeriod))
	for range most {
		err := p.ReadInto(&p.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		each(p.record.RawSample)
		if p.record.Remaining == 0 {
			return nil
		}
	}
	return nil
}

// openPinned opens a pinned map of a directory.
func openPinned(dir, name string) (*ebpf.Map, error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
	if err != nil {
		return nil, fmt.Errorf("open map %s: %w", name, err)
	}
	return m, nil
}
