package maps

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/internal/abi"
)

// Uplinks is the map uplinks.
type Uplinks struct{ m *ebpf.Map }

// NewUplinks types the map uplinks.
func NewUplinks(m *ebpf.Map) *Uplinks { return &Uplinks{m} }

var _ datapath.UplinkTable = (*Uplinks)(nil)

// Put enters or replaces a device.
func (u *Uplinks) Put(ifindex int, d datapath.Uplink) error {
	value := abi.Uplink{MTU: uint32(d.MTU), Addr6: abi.FromAddr(d.Addr6)}
	if d.NoEthernet {
		value.Flags |= abi.UplinkNoEthernet
	}
	if d.Paces {
		value.Flags |= abi.UplinkPaces
	}
	if d.Addr4.IsValid() {
		a := d.Addr4.As4()
		value.Addr4 = abi.ToBE32(uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3]))
	}
	if err := u.m.Put(uint32(ifindex), &value); err != nil {
		return fmt.Errorf("enter device %d into map uplinks: %w", ifindex, err)
	}
	return nil
}

// Delete removes a device; one that is not there succeeds.
func (u *Uplinks) Delete(ifindex int) error {
	return remove(u.m, uint32(ifindex), deviceName(ifindex))
}

// List returns all devices by index, without their names.
func (u *Uplinks) List() (map[int]datapath.Uplink, error) {
	out := map[int]datapath.Uplink{}
	for b, err := range batches[uint32, abi.Uplink](u.m) {
		if err != nil {
			return nil, fmt.Errorf("list map uplinks: %w", err)
		}
		for i, v := range b.values {
			d := datapath.Uplink{MTU: int(v.MTU), NoEthernet: v.Flags&abi.UplinkNoEthernet != 0,
				Paces: v.Flags&abi.UplinkPaces != 0}
			if n := v.Addr4.Host(); n != 0 {
				d.Addr4 = netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
			}
			if v.Addr6 != (abi.IP{}) {
				d.Addr6 = v.Addr6.Addr()
			}
			out[int(b.keys[i])] = d
		}
	}
	return out, nil
}

// deviceName is what an error calls a device.
type deviceName int

func (d deviceName) String() string { return fmt.Sprintf("device %d", int(d)) }
