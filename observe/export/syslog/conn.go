package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sluice-net/sluice/observe/export/sink"
)

// errTooLong is a message that the receiver may not take.
var errTooLong = fmt.Errorf("message too long: %w", sink.ErrRefused)

// conn is a connection to a receiver.
type conn struct {
	net.Conn
	datagrams bool
	over      chan struct{} // closed when the receiver has closed it, or it is broken
}

// dial connects. A unix socket may take datagrams, as /dev/log does, or a stream.
func dial(ctx context.Context, a address, t *sink.TLS, timeout time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d := net.Dialer{KeepAlive: 15 * time.Second}
	var c net.Conn
	var err error
	switch a.scheme {
	case "unix":
		if c, err = d.DialContext(ctx, "unixgram", a.target); err == nil {
			return &conn{Conn: c, datagrams: true}, nil
		}
		c, err = d.DialContext(ctx, "unix", a.target)
	case "tls":
		var config *tls.Config
		if config, err = t.Client(a.host); err == nil {
			c, err = (&tls.Dialer{NetDialer: &d, Config: config}).DialContext(ctx, "tcp", a.target)
		}
	default:
		c, err = d.DialContext(ctx, a.scheme, a.target)
	}
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	out := &conn{Conn: c, datagrams: a.scheme == "udp"}
	if !out.datagrams {
		out.watch()
	}
	return out, nil
}

// watch finds out when the receiver closes the connection: it never sends anything, and without reading, the first
// message after that would be lost.
func (c *conn) watch() {
	c.over = make(chan struct{})
	go func() {
		defer close(c.over)
		var b [256]byte
		for {
			if _, err := c.Read(b[:]); err != nil {
				return
			}
		}
	}()
}

// broken tells whether the receiver has left.
func (c *conn) broken() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// write sends bytes until the deadline or until the context ends.
func (c *conn) write(ctx context.Context, b []byte, timeout time.Duration) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	n, err := c.Conn.Write(b)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	return n, err
}
