package observe

import (
	"errors"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/sluice-net/sluice/internal/abi"
)

// record returns an event as the programs write it.
func record(e abi.Event) []byte {
	b := make([]byte, recordSize)
	copy(b, unsafe.Slice((*byte)(unsafe.Pointer(&e)), recordSize))
	return b
}

// denied is what the egress program of slot 3 writes when it drops a connection to 172.30.0.3:5432 by rule 2.
func denied() abi.Event {
	return abi.Event{
		Time: uint64(90 * time.Second), Src: abi.FromAddr(netip.MustParseAddr("172.30.0.2")), Dst: abi.FromAddr(netip.MustParseAddr("172.30.0.3")),
		Sport: abi.ToBE16(40212), Dport: abi.ToBE16(5432), Proto: 6, Type: abi.EventDrop, Point: abi.PointEgress, TCPFlags: 2,
		Reason: uint16(abi.DropPolicyDenied), Rule: 2, Slot: 3, Revision: 9, Identity: 258, Length: 74, Family: 4, Ifindex: 11,
		Side: abi.PolicyEgress,
	}
}

func TestDecode(t *testing.T) {
	want := denied()
	got, err := decode(record(want))
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if recordSize%8 != 0 {
		t.Errorf("records of %d bytes: the ring buffer aligns to 8, and C pads to that", recordSize)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := record(denied())
	badType, badPoint := denied(), denied()
	badType.Type, badPoint.Point = abi.EventTypes, 0
	for name, b := range map[string][]byte{
		"nothing": nil, "short": good[:recordSize-1], "long": append(record(denied()), 0),
		"type": record(badType), "point": record(badPoint),
	} {
		if _, err := decode(b); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// FuzzDecode checks that no record breaks the reader, and that what it makes can be printed.
func FuzzDecode(f *testing.F) {
	f.Add(record(denied()))
	f.Add(make([]byte, recordSize))
	f.Add([]byte{1, 2, 3})
	icmp := denied()
	icmp.Proto, icmp.Family, icmp.Type, icmp.Point, icmp.Reason = 58, 6, abi.EventVerdict, abi.PointUplink, 0xffff
	f.Add(record(icmp))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decode(b)
		if err != nil {
			return
		}
		for _, flow := range flowsOf(e) {
			out := flow.Event()
			if out.Type == "" || out.Verdict == "" || out.Compact() == "" {
				t.Errorf("%+v became %+v", e, out)
			}
			if flt, err := newFilter(allEvents()); err != nil || !flt.match(flow) {
				t.Errorf("a filter of everything leaves out %+v (%v)", out, err)
			}
		}
	})
}
