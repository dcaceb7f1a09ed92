package observe

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
)

// captureHeader is the size of what comes before the bytes of a captured packet.
const captureHeader = int(unsafe.Sizeof(abi.Capture{}))

// Captured is a packet as the programs saw it, and what became of it. What a container sends is as it sent it; what it is
// sent is as it gets it, or as it was when it was dropped.
type Captured struct {
	Time   time.Time
	Event  abi.Event // abi.EventTrace, or abi.EventDrop with the reason
	Length int       // of the frame, bytes
	Frame  []byte    // its first bytes, from the Ethernet header on
}

// Captures is the ring of the packets of containers that are captured (datapath.Program.Capture). One reader gets those of
// all of them: Event.Slot tells whose a packet is.
type Captures struct {
	ring   *polled
	events *ebpf.Map
	budget *ebpf.Map
	clock  clock
}

// OpenCaptures opens the pinned maps of a directory (PINDIR/maps).
func OpenCaptures(dir string) (*Captures, error) {
	c := &Captures{clock: kernelClock}
	var err error
	if c.events, err = openPinned(dir, "captures"); err == nil {
		c.budget, err = openPinned(dir, "event_budget")
	}
	if err == nil {
		if c.ring, err = newPolled(c.events); err != nil {
			err = fmt.Errorf("read map captures: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, c.closeMaps())
	}
	return c, nil
}

// Read waits for a packet. After Close it returns os.ErrClosed.
func (c *Captures) Read() (Captured, error) {
	record, err := c.ring.next()
	if err != nil {
		return Captured{}, err
	}
	return decodeCapture(record, c.clock)
}

// decodeCapture reads one record, whose bytes it copies.
func decodeCapture(record []byte, now clock) (Captured, error) {
	if len(record) < captureHeader {
		return Captured{}, fmt.Errorf("decode capture: %w: %d bytes, want %d or more", ErrRecord, len(record), captureHeader)
	}
	var h abi.Capture
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&h)), captureHeader), record)
	e, err := decode(record[:recordSize])
	if err != nil {
		return Captured{}, err
	}
	frame := record[captureHeader:]
	if int(h.Captured) > len(frame) || h.Captured > h.Length {
		return Captured{}, fmt.Errorf("decode capture: %w: %d of %d bytes captured, %d in the record", ErrRecord, h.Captured, h.Length, len(frame))
	}
	wall, monotonic := now()
	return Captured{Time: wall.Add(-time.Duration(monotonic - e.Time)).Round(0), Event: e, Length: int(h.Length),
		Frame: append([]byte(nil), frame[:h.Captured]...)}, nil
}

// Lost returns how many packets of a container found no room in the ring since its map was made.
func (c *Captures) Lost(slot uint32) (uint64, error) {
	var b abi.EventBudget
	if err := c.budget.Lookup(budgetKey(slot, abi.EventsCaptures), &b); err != nil {
		return 0, fmt.Errorf("count lost captures of slot %d: %w", slot, err)
	}
	return b.Lost, nil
}

// Close ends a Read that waits.
func (c *Captures) Close() error { return errors.Join(c.ring.Close(), c.closeMaps()) }

func (c *Captures) closeMaps() error {
	return errors.Join(c.events.Close(), c.budget.Close()) // of nil it does nothing
}
