package packettest

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// IP protocols.
const (
	icmp4 = 1
	tcp   = 6
	udp   = 17
	icmp6 = 58
)

// frame builds a packet from its layers, with right lengths and checksums.
func frame(l ...gopacket.SerializableLayer) []byte {
	var network gopacket.NetworkLayer
	for _, layer := range l {
		switch layer := layer.(type) {
		case *layers.IPv4:
			network = layer
		case *layers.IPv6:
			network = layer
		case *layers.TCP:
			layer.SetNetworkLayerForChecksum(network)
		case *layers.UDP:
			layer.SetNetworkLayerForChecksum(network)
		case *layers.ICMPv6:
			layer.SetNetworkLayerForChecksum(network)
		}
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		panic(err)
	}
	return unpadded(b.Bytes())
}

// unpadded cuts off the padding to Ethernet's least length: veth devices carry none.
func unpadded(b []byte) []byte {
	length := len(b)
	switch binary.BigEndian.Uint16(b[12:]) {
	case 0x0800:
		length = 14 + int(binary.BigEndian.Uint16(b[16:]))
	case 0x86dd:
		length = 54 + int(binary.BigEndian.Uint16(b[18:]))
	case 0x0806:
		length = 42
	}
	return b[:min(length, len(b))]
}

// ends are the two ends of a packet.
type ends struct {
	srcMAC, dstMAC net.HardwareAddr
	src, dst       netip.Addr
}

// between returns the ends of a packet that a sends to b in one address family.
func between(a, b container, family int) ends {
	if family == 4 {
		return ends{a.mac, a.hostMAC, a.ip4.Addr(), b.ip4.Addr()}
	}
	return ends{a.mac, a.hostMAC, a.ip6.Addr(), b.ip6.Addr()}
}

// to returns the ends of a packet that c sends to an address.
func (c container) to(dst string) ends {
	a := netip.MustParseAddr(dst)
	e := between(c, c, 6)
	if a.Is4() {
		e = between(c, c, 4)
	}
	e.dst = a
	return e
}

// turned returns the ends of the answer.
func (e ends) turned(c container) ends { return ends{c.mac, c.hostMAC, e.dst, e.src} }

func (e ends) ethernet() *layers.Ethernet {
	t := layers.EthernetTypeIPv6
	if e.src.Is4() {
		t = layers.EthernetTypeIPv4
	}
	return &layers.Ethernet{SrcMAC: e.srcMAC, DstMAC: e.dstMAC, EthernetType: t}
}

func (e ends) network(proto uint8) gopacket.SerializableLayer {
	if e.src.Is4() {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocol(proto), Id: 77,
			SrcIP: e.src.AsSlice(), DstIP: e.dst.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocol(proto),
		SrcIP: e.src.AsSlice(), DstIP: e.dst.AsSlice()}
}

// packet is an IP packet around a transport.
func (e ends) packet(proto uint8, l ...gopacket.SerializableLayer) []byte {
	return frame(append([]gopacket.SerializableLayer{e.ethernet(), e.network(proto)}, l...)...)
}

// tcp is a segment; flags are letters of SAFRP.
func (e ends) tcp(sport, dport uint16, flags string) []byte {
	t := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Seq: 1, Window: 1000}
	for _, f := range flags {
		switch f {
		case 'S':
			t.SYN = true
		case 'A':
			t.ACK = true
		case 'F':
			t.FIN = true
		case 'R':
			t.RST = true
		case 'P':
			t.PSH = true
		}
	}
	return e.packet(tcp, t, gopacket.Payload("data"))
}

func (e ends) udp(sport, dport uint16) []byte {
	return e.packet(udp, &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}, gopacket.Payload("data"))
}

// echo is a ping, or its answer.
func (e ends) echo(id uint16, reply bool) []byte {
	if e.src.Is4() {
		kind := uint8(layers.ICMPv4TypeEchoRequest)
		if reply {
			kind = layers.ICMPv4TypeEchoReply
		}
		return e.packet(icmp4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, 0), Id: id, Seq: 1}, gopacket.Payload("ping"))
	}
	kind := uint8(layers.ICMPv6TypeEchoRequest)
	if reply {
		kind = layers.ICMPv6TypeEchoReply
	}
	return e.packet(icmp6, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)},
		&layers.ICMPv6Echo{Identifier: id, SeqNumber: 1}, gopacket.Payload("ping"))
}

// transport is one of tcp, udp and ping, with the source port (or identifier) 5000 and destination port 80.
func (e ends) transport(proto uint8) []byte {
	switch proto {
	case tcp:
		return e.tcp(5000, 80, "S")
	case udp:
		return e.udp(5000, 80)
	}
	return e.echo(5000, false)
}

// answered is the answer to transport; e are its own ends.
func (e ends) answered(proto uint8) []byte {
	switch proto {
	case tcp:
		return e.tcp(80, 5000, "SA")
	case udp:
		return e.udp(80, 5000)
	}
	return e.echo(5000, true)
}

// ports are the ends of transport as the flow table knows them.
func (e ends) ports(proto uint8) (a, b netip.AddrPort) {
	if proto == tcp || proto == udp {
		return netip.AddrPortFrom(e.src, 5000), netip.AddrPortFrom(e.dst, 80)
	}
	return netip.AddrPortFrom(e.src, 5000), netip.AddrPortFrom(e.dst, 5000)
}

// protocols are those that every flow test runs with.
func protocols(family int) []uint8 {
	if family == 4 {
		return []uint8{tcp, udp, icmp4}
	}
	return []uint8{tcp, udp, icmp6}
}
