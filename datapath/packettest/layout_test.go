package packettest

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/sluice-net/sluice/datapath/obj"
	"github.com/sluice-net/sluice/internal/abi"
)

// Go's structs lie in memory as those of the compiled objects do.
func TestLayout(t *testing.T) {
	shared := map[string]any{"endpoint": abi.Endpoint{}, "tuple": abi.Tuple{}, "flow": abi.Flow{}, "nat": abi.NAT{},
		"service_key": abi.ServiceKey{}, "service": abi.Service{}, "fragment_key": abi.FragmentKey{}, "fragment": abi.Fragment{},
		"uplink": abi.Uplink{}, "counter": abi.Counter{}, "budget": abi.Budget{}, "rate": abi.Rate{}, "settings": abi.Settings{},
		"event_budget": abi.EventBudget{}, "event_limit": abi.EventLimit{}, "event": abi.Event{}, "capture": abi.Capture{}, "policy_input": abi.PolicyInput{}}
	checked := map[string]bool{}
	for name, object := range map[string][]byte{"container": obj.Container(), "shared": obj.Shared(), "uplink": obj.Uplink(), "socket": obj.Socket()} {
		spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
		if err != nil {
			t.Fatal(err)
		}
		for c, v := range shared {
			var s *btf.Struct
			if err := spec.Types.TypeByName(c, &s); err == nil {
				checkLayout(t, name+"."+c, s, reflect.TypeOf(v))
				checked[c] = true
			}
		}
	}
	for c := range shared {
		if !checked[c] {
			t.Errorf("struct %s is in no object", c)
		}
	}
}

func checkLayout(t *testing.T, name string, s *btf.Struct, g reflect.Type) {
	t.Helper()
	if uintptr(s.Size) != g.Size() {
		t.Errorf("%s is %d bytes, in Go %d", name, s.Size, g.Size())
	}
	for _, m := range s.Members {
		if m.Name == "pad" {
			continue
		}
		f, ok := g.FieldByNameFunc(func(n string) bool {
			return strings.EqualFold(n, strings.ReplaceAll(m.Name, "_", ""))
		})
		if !ok {
			t.Errorf("%s.%s is not in Go", name, m.Name)
			continue
		}
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			t.Fatal(err)
		}
		if f.Offset != uintptr(m.Offset.Bytes()) || f.Type.Size() != uintptr(size) {
			t.Errorf("%s.%s is at %d, %d bytes; in Go at %d, %d bytes", name, m.Name, m.Offset.Bytes(), size, f.Offset, f.Type.Size())
		}
	}
}
