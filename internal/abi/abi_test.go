package abi

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/quick"
)

func TestSizes(t *testing.T) {
	for name, v := range map[string]any{"IP": IP{}, "Endpoint": Endpoint{}, "Tuple": Tuple{}, "Flow": Flow{}, "NAT": NAT{},
		"ServiceKey": ServiceKey{}, "Service": Service{}, "FragmentKey": FragmentKey{}, "Fragment": Fragment{}, "Uplink": Uplink{},
		"Counter": Counter{}, "Budget": Budget{}, "Event": Event{}, "PolicyInput": PolicyInput{}} {
		if size := binary.Size(v); size != int(Sizes[name]) {
			t.Errorf("%s is %d bytes, in C %d", name, size, Sizes[name])
		}
	}
}

func TestAddr(t *testing.T) {
	for _, s := range []string{"10.1.2.3", "0.0.0.0", "fd00::1", "::"} {
		a := netip.MustParseAddr(s)
		if got := FromAddr(a).Addr(); got != a {
			t.Errorf("%v becomes %v", a, got)
		}
	}
	if got := FromAddr(netip.Addr{}); got != (IP{}) {
		t.Errorf("no address becomes %v", got)
	}
	if got := FromAddr(netip.MustParseAddr("1.2.3.4")); got != (IP{10: 0xff, 11: 0xff, 12: 1, 13: 2, 14: 3, 15: 4}) {
		t.Errorf("1.2.3.4 is % x", got[:])
	}
}

func TestNetworkOrder(t *testing.T) {
	if err := quick.Check(func(n uint16) bool { return ToBE16(n).Host() == n }, nil); err != nil {
		t.Error(err)
	}
	if err := quick.Check(func(n uint32) bool { return ToBE32(n).Host() == n }, nil); err != nil {
		t.Error(err)
	}
	if b := binary.NativeEndian.AppendUint16(nil, uint16(ToBE16(0x1234))); b[0] != 0x12 || b[1] != 0x34 {
		t.Errorf("0x1234 lies in memory as % x", b)
	}
}

// Both directions have one key, and the flow's flag tells the initiator.
func TestTuple(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.0.2:5000"), netip.MustParseAddrPort("10.0.0.1:80")
	x, aIsLo := NewTuple(a, b, 6)
	y, bIsLo := NewTuple(b, a, 6)
	if x != y || aIsLo || !bIsLo {
		t.Errorf("%+v (%v), %+v (%v)", x, aIsLo, y, bIsLo)
	}
	if i, r := x.Ends(Flow{}); i != a || r != b {
		t.Errorf("initiator %v, responder %v", i, r)
	}
	if i, r := x.Ends(Flow{Flags: FlowInitiatorLo}); i != b || r != a {
		t.Errorf("initiator %v, responder %v", i, r)
	}
}

func TestDropReasons(t *testing.T) {
	for reason, want := range map[DropReason]string{DropNone: "forwarded", DropPolicyDenied: "policy denied", 63: "reason 63"} {
		if reason.String() != want {
			t.Errorf("%d is %q, want %q", reason, reason, want)
		}
	}
	for reason, text := range dropTexts {
		if reason >= DropReasons || text.name == "" || text.help == "" {
			t.Errorf("reason %d: %+v", reason, text)
		}
	}
}
