package observe

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/sluice-net/sluice/internal/abi"
)

// captureOf is a record of the ring captures.
func captureOf(e abi.Event, length, captured uint32, frame []byte) []byte {
	h := abi.Capture{Event: e, Length: length, Captured: captured}
	return append(bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&h)), captureHeader)), frame...)
}

func TestDecodeCapture(t *testing.T) {
	frame := []byte("fourteen bytes of a frame")
	record := captureOf(denied(), 1514, uint32(len(frame)), append(frame, 0, 0, 0)) // the ring aligns to 8
	got, err := decodeCapture(record, testClock)
	if err != nil || got.Event != denied() || got.Length != 1514 || !bytes.Equal(got.Frame, frame) || !got.Time.Equal(boot.Add(90*time.Second)) {
		t.Errorf("got %+v, %v", got, err)
	}
	record[captureHeader] = 'x'
	if got.Frame[0] != 'f' {
		t.Error("the frame is the ring's own memory")
	}
}

func TestDecodeCaptureRefuses(t *testing.T) {
	whole := captureOf(denied(), 100, 10, make([]byte, 10))
	other := denied()
	other.Type = abi.EventTypes
	for name, b := range map[string][]byte{
		"nothing": nil, "cut head": whole[:captureHeader-1], "cut frame": whole[:len(whole)-1],
		"more than the packet": captureOf(denied(), 5, 10, make([]byte, 10)), "type": captureOf(other, 100, 0, nil),
	} {
		if _, err := decodeCapture(b, testClock); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func FuzzDecodeCapture(f *testing.F) {
	f.Add(captureOf(denied(), 60, 60, make([]byte, 60)))
	f.Add(captureOf(denied(), ^uint32(0), ^uint32(0), nil))
	f.Add(make([]byte, captureHeader))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCapture(b, testClock)
		if err == nil && len(c.Frame) > c.Length {
			t.Errorf("%d bytes of a frame of %d", len(c.Frame), c.Length)
		}
	})
}

func TestOpenCapturesNamesWhatIsMissing(t *testing.T) {
	_, err := OpenCaptures(t.TempDir())
	if err == nil || !strings.HasPrefix(err.Error(), "open map captures: ") {
		t.Errorf("error %v", err)
	}
}
