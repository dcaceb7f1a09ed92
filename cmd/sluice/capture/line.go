package capture

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/sluice-net/sluice/api"
)

// Line describes a packet on one line, in local time:
//
//	15:04:05.123456 web egress 172.30.0.2:40212 > 172.30.0.3:5432 TCP [S] seq 1 win 64240, 74 bytes, dropped: policy denied
func Line(c api.Captured) string {
	when := c.Time.Local().Format("15:04:05.000000")
	if c.Verdict == "" {
		return fmt.Sprintf("%s %s: %d packets lost so far: they came faster than they are read", when, c.Container, c.Lost)
	}
	p := gopacket.NewPacket(c.Frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	return fmt.Sprintf("%s %s %s %s, %d bytes%s", when, c.Container, c.Point, summary(p), c.Length, fateOf(c))
}

func fateOf(c api.Captured) string {
	if c.Verdict != api.VerdictDropped {
		return ""
	}
	return ", " + Fate(c)
}

// summary describes the addresses and the transport.
func summary(p gopacket.Packet) string {
	source, destination, network := addresses(p)
	switch t := p.TransportLayer().(type) {
	case *layers.TCP:
		return join(source, destination, uint16(t.SrcPort), uint16(t.DstPort)) + " TCP " + tcp(t)
	case *layers.UDP:
		text := join(source, destination, uint16(t.SrcPort), uint16(t.DstPort)) + " UDP"
		if dns, ok := p.Layer(layers.LayerTypeDNS).(*layers.DNS); ok {
			text += " " + query(dns)
		}
		return text
	case *layers.SCTP:
		return join(source, destination, uint16(t.SrcPort), uint16(t.DstPort)) + " SCTP"
	}
	text := source + " > " + destination
	if l := p.Layer(layers.LayerTypeICMPv4); l != nil {
		return text + " ICMP " + l.(*layers.ICMPv4).TypeCode.String()
	}
	if l := p.Layer(layers.LayerTypeICMPv6); l != nil {
		return text + " ICMPv6 " + l.(*layers.ICMPv6).TypeCode.String()
	}
	if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
		if arp.Operation == layers.ARPRequest {
			return fmt.Sprintf("ARP who has %s, tell %s", net.IP(arp.DstProtAddress), net.IP(arp.SourceProtAddress))
		}
		return fmt.Sprintf("ARP %s is at %s", net.IP(arp.SourceProtAddress), net.HardwareAddr(arp.SourceHwAddress))
	}
	return text + " " + network
}

// addresses returns the ends of a packet, and what it is.
func addresses(p gopacket.Packet) (source, destination, protocol string) {
	switch n := p.NetworkLayer().(type) {
	case *layers.IPv4:
		return n.SrcIP.String(), n.DstIP.String(), n.Protocol.String()
	case *layers.IPv6:
		protocol = n.NextHeader.String()
		if f, ok := p.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment); ok {
			protocol = fmt.Sprintf("%s fragment at %d", f.NextHeader, int(f.FragmentOffset)*8)
		}
		return n.SrcIP.String(), n.DstIP.String(), protocol
	}
	if e, ok := p.LinkLayer().(*layers.Ethernet); ok {
		return e.SrcMAC.String(), e.DstMAC.String(), e.EthernetType.String()
	}
	return "?", "?", "cut off"
}

func join(source, destination string, sport, dport uint16) string {
	return net.JoinHostPort(source, strconv.Itoa(int(sport))) + " > " + net.JoinHostPort(destination, strconv.Itoa(int(dport)))
}

// tcp describes a segment as tcpdump does.
func tcp(t *layers.TCP) string {
	var flags strings.Builder
	for _, f := range []struct {
		set    bool
		letter byte
	}{{t.SYN, 'S'}, {t.FIN, 'F'}, {t.RST, 'R'}, {t.PSH, 'P'}, {t.ACK, '.'}, {t.URG, 'U'}, {t.ECE, 'E'}, {t.CWR, 'W'}} {
		if f.set {
			flags.WriteByte(f.letter)
		}
	}
	text := fmt.Sprintf("[%s] seq %d", &flags, t.Seq)
	if t.ACK {
		text += fmt.Sprintf(" ack %d", t.Ack)
	}
	return text + fmt.Sprintf(" win %d payload %d", t.Window, len(t.LayerPayload()))
}

// query describes a DNS message. Names are quoted: anybody may have chosen them.
func query(d *layers.DNS) string {
	if len(d.Questions) == 0 {
		return "DNS"
	}
	text := fmt.Sprintf("DNS %s %q", d.Questions[0].Type, d.Questions[0].Name)
	if d.QR {
		text += fmt.Sprintf(" %s, %d answers", d.ResponseCode, len(d.Answers))
	}
	return text
}
