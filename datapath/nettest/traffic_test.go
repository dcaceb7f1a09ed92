package nettest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// patience is how long a packet may take.
const patience = 3 * time.Second

// echoTCP answers every connection to addr with the client's address and then its bytes.
func (n *node) echoTCP(addr string) {
	n.t.Helper()
	var l net.Listener
	n.must(func() (err error) { l, err = net.Listen("tcp", addr); return err })
	n.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprintf(c, "%s\n", c.RemoteAddr())
				io.Copy(c, c)
			}()
		}
	}()
}

// echoUDP answers every datagram to addr with the client's address, a newline and the datagram.
func (n *node) echoUDP(addr string) {
	n.t.Helper()
	var c net.PacketConn
	n.must(func() (err error) { c, err = net.ListenPacket("udp", addr); return err })
	n.t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 65536)
		for {
			k, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(append([]byte(from.String()+"\n"), b[:k]...), from)
		}
	}()
}

// dial connects from the namespace.
func (n *node) dial(network, addr string) (net.Conn, error) {
	var c net.Conn
	err := n.do(func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(patience))
}

// ask sends a message to an echo server and returns the client's address as the server saw it.
func ask(c net.Conn, message string) (netip.AddrPort, error) {
	if _, err := io.WriteString(c, message); err != nil {
		return netip.AddrPort{}, err
	}
	var got []byte
	b := make([]byte, 65536)
	for {
		k, err := c.Read(b)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("after %q: %w", got, err)
		}
		got = append(got, b[:k]...)
		for i := range got {
			if got[i] != '\n' || len(got)-i-1 < len(message) {
				continue
			}
			if string(got[i+1:]) != message {
				return netip.AddrPort{}, errors.New("the answer is not the question")
			}
			from, err := netip.ParseAddrPort(string(got[:i]))
			return netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), err
		}
	}
}

// reach connects, exchanges a message and returns how the server saw the client.
func (n *node) reach(network, addr string) (seen netip.AddrPort, local netip.AddrPort, err error) {
	c, err := n.dial(network, addr)
	if err != nil {
		return seen, local, err
	}
	defer c.Close()
	local, err = netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return seen, local, err
	}
	seen, err = ask(c, "hello")
	return seen, local, err
}

func join(host string, port uint16) string { return net.JoinHostPort(host, fmt.Sprint(port)) }

// readBack reads an echo server's first line and then exactly message.
func readBack(c net.Conn, message []byte) error {
	r := bufio.NewReader(c)
	if _, err := r.ReadString('\n'); err != nil {
		return err
	}
	got := make([]byte, len(message))
	if n, err := io.ReadFull(r, got); err != nil {
		return fmt.Errorf("after %d bytes: %w", n, err)
	}
	if !bytes.Equal(got, message) {
		return errors.New("the answer is not the question")
	}
	return nil
}

// listen takes a port, which answers nothing.
func (n *node) listen(network, addr string) {
	n.t.Helper()
	var c io.Closer
	n.must(func() (err error) {
		if network == "udp" {
			c, err = net.ListenPacket(network, addr)
		} else {
			c, err = net.Listen(network, addr)
		}
		return err
	})
	n.t.Cleanup(func() { c.Close() })
}

// exchange sends one datagram and reads its echo.
func exchange(n *node, to, message string) error {
	c, err := n.dial("udp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(500 * time.Millisecond))
	_, err = ask(c, message)
	return err
}
