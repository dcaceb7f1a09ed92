package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// pull is the line by which a client asks a TCP server to send records by itself.
const pull = "pull\n"

// server answers on its ports and tells each client by which address it came.
type server struct {
	name string
	log  io.Writer
}

// serve listens on all given ports before it says "ready", then answers until a signal comes.
func serve(args []string, out io.Writer) error {
	host, _ := os.Hostname()
	f := flags("serve")
	name := f.String("name", host, "what answers begin with")
	on := f.String("on", "", "address to listen on")
	tcp := f.String("tcp", "80", "ports, with commas")
	udp := f.String("udp", "80", "ports, with commas")
	web := f.String("http", "8080", "ports, with commas")
	if _, err := parse(f, args, 0); err != nil {
		return err
	}
	s := server{name: *name, log: out}
	for _, port := range list(*tcp) {
		if err := s.serveTCP(net.JoinHostPort(*on, port), s.talk); err != nil {
			return err
		}
	}
	for _, port := range list(*web) {
		if err := s.serveHTTP(net.JoinHostPort(*on, port)); err != nil {
			return err
		}
	}
	for _, port := range list(*udp) {
		if err := s.serveUDP(net.JoinHostPort(*on, port)); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "ready")
	return wait(nil, out)
}

func list(ports string) []string {
	return strings.FieldsFunc(ports, func(r rune) bool { return r == ',' })
}

func (s server) serveTCP(address string, talk func(net.Conn)) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go talk(conn)
		}
	}()
	return nil
}

// talk greets, then returns what comes; when asked to, it sends records for ever, or counts.
func (s server) talk(conn net.Conn) {
	defer conn.Close()
	fmt.Fprintf(s.log, "tcp from %s at %s\n", plain(conn.RemoteAddr()), plain(conn.LocalAddr()))
	fmt.Fprintf(conn, "%s saw %s at %s\n", s.name, plain(conn.RemoteAddr()), plain(conn.LocalAddr()))
	r := bufio.NewReader(conn)
	first, err := r.Peek(len(pull))
	if err == nil && string(first) == pull {
		for n := uint64(0); ; n++ {
			if _, err := conn.Write(record(n)); err != nil {
				return
			}
			time.Sleep(defaultEvery)
		}
	}
	if err == nil && string(first) == sink {
		drain(conn, r)
		return
	}
	_, _ = io.Copy(conn, r)
}

func (s server) serveHTTP(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s saw %s at %s for %s\n", s.name, r.RemoteAddr, l.Addr(), r.URL.Path)
	})
	go func() { _ = http.Serve(l, handler) }()
	return nil
}

// serveUDP answers every datagram, "echo…" and records with themselves, others with what was seen of it; but for those that
// it is to count.
func (s server) serveUDP(address string) error {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 1<<16)
		meters := map[string]*meter{}
		for {
			n, peer, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			switch {
			case strings.HasPrefix(string(buf[:n]), sink):
				if meters[peer.String()] == nil {
					meters[peer.String()] = &meter{}
				}
				meters[peer.String()].add(time.Now(), n)
				continue
			case string(buf[:n]) == sunk:
				_, _ = conn.WriteTo([]byte(meters[peer.String()].String()), peer)
				continue
			}
			if isRecord(buf[:n]) || strings.HasPrefix(string(buf[:n]), "echo") {
				_, _ = conn.WriteTo(buf[:n], peer)
				continue
			}
			fmt.Fprintf(s.log, "udp from %s: %d bytes\n", plain(peer), n)
			answer := fmt.Sprintf("%s saw %s with %d bytes\n", s.name, plain(peer), n)
			_, _ = conn.WriteTo([]byte(answer), peer)
		}
	}()
	return nil
}

// plain writes an address without the IPv4-mapped form and the zone.
func plain(a net.Addr) string {
	switch a := a.(type) {
	case *net.TCPAddr:
		return net.JoinHostPort(a.AddrPort().Addr().Unmap().WithZone("").String(), fmt.Sprint(a.Port))
	case *net.UDPAddr:
		return net.JoinHostPort(a.AddrPort().Addr().Unmap().WithZone("").String(), fmt.Sprint(a.Port))
	}
	return a.String()
}
