package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// serveDNS answers every question for an IPv4 address with one and the same (RFC 1035): dns LISTEN ADDR.
func serveDNS(args []string, out io.Writer) error {
	args, err := parse(flags("dns"), args, 2)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(args[1])
	if err != nil || !address.Is4() {
		return fmt.Errorf("%s is no IPv4 address", args[1])
	}
	conn, err := net.ListenPacket("udp", args[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintln(out, "ready")
	query := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(query)
		if err != nil {
			return err
		}
		if answer, err := answerDNS(query[:n], address); err == nil {
			_, _ = conn.WriteTo(answer, from)
		}
	}
}

// answerDNS answers the query's first question; those for anything but an IPv4 address with nothing.
func answerDNS(query []byte, address netip.Addr) ([]byte, error) {
	const header, typeA = 12, 1
	if len(query) < header {
		return nil, errors.New("no header")
	}
	name := bytes.IndexByte(query[header:], 0)
	end := header + name + 1 + 4 // the name's end, type and class
	if name < 0 || len(query) < end {
		return nil, errors.New("no question")
	}
	answers := byte(0)
	if query[end-3] == typeA {
		answers = 1
	}
	// The id, a response without error, one question, the answers.
	a := append([]byte{}, query[0], query[1], 0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0)
	a = append(a, query[header:end]...)
	if answers == 0 {
		return a, nil
	}
	// The question's name, type A, class IN, for no time, four bytes.
	a = append(a, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4)
	return append(a, address.AsSlice()...), nil
}
