package syslog

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/observe/export/sink"
)

// Sink sends to one receiver.
type Sink struct {
	config  Config
	address address
	version string // of Sluice
	node    string

	conn   *conn
	text   []byte
	stream []byte
	ends   []end
}

// end is where a message of a stream ends, and how many records that were refused stand before it.
type end struct{ offset, refused int }

var _ sink.Sink = (*Sink)(nil)

// New returns the sink of checked settings; it connects when there is something to send.
func New(c Config, node, version string) *Sink {
	a, _ := parseAddress(c.Address)
	return &Sink{config: c, address: a, node: node, version: version}
}

// Target is the receiver's address.
func (s *Sink) Target() string { return s.config.Address }

// Close closes the connection.
func (s *Sink) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	if s.conn.over != nil {
		<-s.conn.over
	}
	s.conn = nil
	return err
}

// Send sends each record as a message. There are no acknowledgements in syslog: a message counts as sent when the kernel
// has it.
func (s *Sink) Send(ctx context.Context, batch []sink.Record) (r sink.Result) {
	if s.conn != nil && s.conn.broken() {
		_ = s.Close()
	}
	if s.conn == nil {
		if s.conn, r.Err = dial(ctx, s.address, s.config.TLS, s.config.timeout()); r.Err != nil {
			return r
		}
	}
	if s.conn.datagrams {
		r = s.sendDatagrams(ctx, batch)
	} else {
		r = s.sendStream(ctx, batch)
	}
	if r.Err != nil && !errors.Is(r.Err, sink.ErrRefused) {
		_ = s.Close()
	}
	return r
}

// message returns a record's message, nil if it is too long.
func (s *Sink) message(b []byte, r sink.Record) []byte {
	if s.config.Format == formatJSON {
		line, err := r.Event().MarshalJSON()
		if err != nil {
			return nil
		}
		s.text = append(s.text[:0], line...)
	} else {
		s.text = cef(s.text[:0], s.version, r)
	}
	h := header{
		facility: s.config.facility(), hostname: or(s.config.Hostname, hostname(s.node)), appName: or(s.config.AppName, "sluice"),
	}
	before := len(b)
	b = h.append(b, r, s.text)
	if len(b)-before > s.config.longest() {
		return nil
	}
	return b
}

// sendDatagrams sends a datagram for each record (RFC 5426).
func (s *Sink) sendDatagrams(ctx context.Context, batch []sink.Record) (r sink.Result) {
	for _, record := range batch {
		m := s.message(s.stream[:0], record)
		if m == nil {
			r.Refused, r.Err = r.Refused+1, errTooLong
			continue
		}
		s.stream = m
		_, err := s.conn.write(ctx, m, s.config.timeout())
		switch {
		case errors.Is(err, unix.EMSGSIZE):
			r.Refused, r.Err = r.Refused+1, fmt.Errorf("message of %d bytes: %w", len(m), errTooLong)
		case err != nil:
			r.Err = fmt.Errorf("send message: %w", err)
			return r
		default:
			r.Sent++
		}
	}
	return r
}

// sendStream writes the batch into the stream. After an error those messages count as sent of which every byte was taken.
func (s *Sink) sendStream(ctx context.Context, batch []sink.Record) (r sink.Result) {
	b, refused := s.frame(batch)
	n := 0
	if len(b) > 0 {
		n, r.Err = s.conn.write(ctx, b, s.config.timeout())
	}
	if r.Err == nil {
		r.Sent, r.Refused = len(s.ends), refused
		if refused > 0 {
			r.Err = errTooLong
		}
		return r
	}
	r.Err = fmt.Errorf("send messages: %w", r.Err)
	for _, e := range s.ends {
		if e.offset > n {
			break
		}
		r.Sent, r.Refused = r.Sent+1, e.refused
	}
	return r
}

// frame makes the bytes of a stream of a batch (RFC 6587, 3.4; RFC 5425, 4.3).
func (s *Sink) frame(batch []sink.Record) (b []byte, refused int) {
	b, s.ends = s.stream[:0], s.ends[:0]
	var one []byte
	for _, record := range batch {
		m := s.message(one[:0], record)
		if m == nil {
			refused++
			continue
		}
		one = m
		if s.config.Framing == framingNewline {
			b = append(append(b, m...), '\n') // both formats escape line breaks
		} else {
			b = strconv.AppendInt(b, int64(len(m)), 10)
			b = append(append(b, ' '), m...)
		}
		s.ends = append(s.ends, end{len(b), refused})
	}
	s.stream = b
	return b, refused
}
