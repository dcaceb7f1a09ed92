package testutil

import (
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Packet returns an Ethernet frame with an IP packet of the addresses' family, and in it the layers.
func Packet(src, dst string, protocol layers.IPProtocol, l ...gopacket.SerializableLayer) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	var ip gopacket.SerializableLayer = &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: protocol, SrcIP: s.AsSlice(), DstIP: d.AsSlice()}
	if s.Is6() {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, NextHeader: protocol, SrcIP: s.AsSlice(), DstIP: d.AsSlice()}
	}
	return Frame(append([]gopacket.SerializableLayer{eth, ip}, l...)...)
}

// Frame returns the layers one after the other.
func Frame(l ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, l...); err != nil {
		panic(err)
	}
	return b.Bytes()
}
