package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// frame is a UDP datagram with every header as made up as the test wants it.
type frame struct {
	sourceMAC, targetMAC net.HardwareAddr
	source, target       netip.Addr
	port                 uint16
	payload              string
}

// raw sends one frame past the host's stack: for showing that a container cannot pretend to be another.
func raw(args []string, out io.Writer) error {
	f := flags("raw")
	device := f.String("dev", "eth0", "device")
	source := f.String("src", "", "source address")
	target := f.String("dst", "", "destination address")
	sourceMAC := f.String("smac", "", "source MAC (default: the device's)")
	targetMAC := f.String("dmac", "ff:ff:ff:ff:ff:ff", "destination MAC")
	port := f.Uint("port", 80, "destination port")
	if _, err := parse(f, args, 0); err != nil {
		return err
	}
	dev, err := net.InterfaceByName(*device)
	if err != nil {
		return err
	}
	fr := frame{sourceMAC: dev.HardwareAddr, port: uint16(*port), payload: "spoofed"}
	if fr.source, err = netip.ParseAddr(*source); err != nil {
		return err
	}
	if fr.target, err = netip.ParseAddr(*target); err != nil {
		return err
	}
	if *sourceMAC != "" {
		if fr.sourceMAC, err = net.ParseMAC(*sourceMAC); err != nil {
			return err
		}
	}
	if fr.targetMAC, err = net.ParseMAC(*targetMAC); err != nil {
		return err
	}
	if err := transmit(dev.Index, fr.bytes()); err != nil {
		return err
	}
	fmt.Fprintln(out, "ok sent")
	return nil
}

func transmit(device int, frame []byte) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open packet socket: %w", err)
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: device, Halen: 6})
}

func (f frame) bytes() []byte {
	udp := make([]byte, 8, 8+len(f.payload))
	binary.BigEndian.PutUint16(udp, 40000)
	binary.BigEndian.PutUint16(udp[2:], f.port)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(f.payload)))
	udp = append(udp, f.payload...)

	// The pseudo header: both addresses, the length, the protocol.
	pseudo := append(f.source.AsSlice(), f.target.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(udp)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, unix.IPPROTO_UDP)
	binary.BigEndian.PutUint16(udp[6:], checksum(0, append(pseudo, udp...)))

	b := append([]byte{}, f.targetMAC...)
	b = append(b, f.sourceMAC...)
	if f.source.Is6() {
		b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IPV6)
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(udp)))
		b = append(b, unix.IPPROTO_UDP, 64)
		b = append(append(b, f.source.AsSlice()...), f.target.AsSlice()...)
		return append(b, udp...)
	}
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], uint16(20+len(udp)))
	copy(ip[12:], f.source.AsSlice())
	copy(ip[16:], f.target.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], checksum(0, ip))
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IP)
	return append(append(b, ip...), udp...)
}
