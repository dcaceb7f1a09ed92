package sinktest

import (
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/export/sink"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// Start is when the flows of tests were opened.
var Start = time.Date(2030, 1, 2, 3, 4, 5, 678901000, time.UTC)

// Web and DB are containers of the compose project shop on this host; World is outside.
var (
	Web = &observe.Party{Number: 1, EndpointID: "e1", Container: "shop-web-1", ContainerID: "c1", Image: "nginx:1", Project: "shop",
		Service: "web", Network: "net", Identity: 256, Labels: map[string]string{"app": "web"}}
	DB = &observe.Party{Number: 2, EndpointID: "e2", Container: "shop-db-1", ContainerID: "c2", Image: "postgres:17", Project: "shop",
		Service: "db", Network: "net", Identity: 257, Labels: map[string]string{"app": "db"}}
	World = &observe.Party{Identity: abi.IdentityWorld, Entity: api.EntityWorld}
)

// Closed is the last flow of a TCP connection of Web's to DB's port 5432, over IPv4 or IPv6, that was open for 1.5 s.
func Closed(family uint8) *observe.Flow {
	f := packet(family)
	f.Kernel.Type, f.Kernel.Cause, f.Kernel.TCPFlags = abi.EventTrace, abi.CauseState|abi.CauseClosed, 0x11
	f.Kernel.Sent, f.Kernel.Received = abi.Counter{Packets: 10, Bytes: 1000}, abi.Counter{Packets: 20, Bytes: 50000}
	return f
}

// Dropped is a SYN of Web's to DB that a policy denied.
func Dropped(family uint8) *observe.Flow {
	f := packet(family)
	f.Kernel.Type, f.Kernel.Reason, f.Kernel.TCPFlags, f.Kernel.Opened = abi.EventDrop, uint16(abi.DropPolicyDenied), 2, 0
	f.Kernel.Side, f.Kernel.Judged, f.Kernel.Rule = abi.PolicyEgress, abi.JudgedDenied, 1
	f.Rule = &observe.Rule{Policy: "shop/no-db", Place: "egress[0]"}
	return f
}

// Lost tells that flows were lost in the kernel.
func Lost(n uint64) *observe.Flow {
	nobody := &observe.Party{}
	return &observe.Flow{Time: Start, Source: nobody, Destination: nobody, Lost: &api.Lost{Where: api.LostKernel, Count: n}}
}

// packet is what they have in common.
func packet(family uint8) *observe.Flow {
	src, dst := "10.9.0.2", "10.9.0.3"
	if family == 6 {
		src, dst = "fd09::2", "fd09::3"
	}
	return &observe.Flow{
		Time: Start.Add(1500 * time.Millisecond), Source: Web, Destination: DB, Endpoint: Web,
		Kernel: abi.Event{
			Time: uint64(100*time.Second + 1500*time.Millisecond), Opened: uint64(100 * time.Second),
			Src: abi.FromAddr(netip.MustParseAddr(src)), Dst: abi.FromAddr(netip.MustParseAddr(dst)),
			Sport: abi.ToBE16(40000), Dport: abi.ToBE16(5432), Proto: 6, Family: family, Point: abi.PointEgress, Slot: 1,
			Identity: 257, Length: 66, Ifindex: 7, Revision: 9,
		},
	}
}

// Converter is that of the node "node-1".
var Converter = convert.New(convert.Options{Node: "node-1", Version: "0.4.0"})

// Record makes a flow ready to be sent, with all fields.
func Record(f *observe.Flow) sink.Record {
	r := sink.Record{Flow: f, Node: Converter.NodeName()}
	if f.IsLost() {
		r.Lost = convert.Lost(f)
	} else {
		r.Hubble = Converter.Flow(f)
	}
	return r
}

// Records makes n records of dropped and of closed flows by turns, each with a source port of its own.
func Records(n int) []sink.Record {
	all := make([]sink.Record, n)
	for i := range all {
		f := Closed(4)
		if i%2 == 0 {
			f = Dropped(6)
		}
		f.Kernel.Sport, f.Seq = abi.ToBE16(uint16(10000+i)), uint64(i+1)
		all[i] = Record(f)
	}
	return all
}
