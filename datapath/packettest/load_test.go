package packettest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/sluice-net/sluice/datapath/obj"
)

func TestPrivilegedLoad(t *testing.T) {
	rlimit.RemoveMemlock()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(obj.Container()))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ebpf.NewCollection(spec)
	if err != nil {
		var v *ebpf.VerifierError
		if errors.As(err, &v) {
			t.Fatalf("%+v", v)
		}
		t.Fatal(err)
	}
	for n, p := range c.Programs {
		i, _ := p.Info()
		ins, _ := i.Instructions()
		vi, _ := i.VerifiedInstructions()
		t.Log(n, len(ins), vi)
	}
	c.Close()
}
