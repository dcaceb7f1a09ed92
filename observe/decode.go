package observe

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/sluice-net/sluice/internal/abi"
)

// recordSize is the size of a record of the ring buffer, bytes.
const recordSize = int(unsafe.Sizeof(abi.Event{}))

// ErrRecord is a record that no program of this version wrote.
var ErrRecord = errors.New("not an event of this version")

// decode reads one record. Longer ones than known are refused: a program of another version wrote them.
func decode(b []byte) (abi.Event, error) {
	var e abi.Event
	if len(b) != recordSize {
		return e, fmt.Errorf("decode event: %w: %d bytes, want %d", ErrRecord, len(b), recordSize)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&e)), recordSize), b) // the record has C's layout, as e has
	switch {
	case e.Type < abi.EventDrop || e.Type >= abi.EventTypes:
		return e, fmt.Errorf("decode event: %w: type %d", ErrRecord, e.Type)
	case e.Point < abi.PointEgress || e.Point > abi.PointSocket:
		return e, fmt.Errorf("decode event: %w: point %d", ErrRecord, e.Point)
	}
	return e, nil
}
