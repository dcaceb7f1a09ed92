package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	recordSize   = 64
	defaultEvery = 5 * time.Millisecond
	recordMagic  = 0x736c7563
)

// record is the n-th record of a stream.
func record(n uint64) []byte {
	b := make([]byte, recordSize)
	binary.BigEndian.PutUint32(b, recordMagic)
	binary.BigEndian.PutUint64(b[8:], n)
	return b
}

func isRecord(b []byte) bool {
	return len(b) == recordSize && binary.BigEndian.Uint32(b) == recordMagic
}

// state is what is known of a stream; it is written to a file several times a second.
type state struct {
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
	Bytes    uint64 `json:"bytes"`
	// Lost counts records that never came, seen when a later one did.
	Lost uint64 `json:"lost"`
	// Gap is the longest time between two records, in milliseconds.
	Gap int64 `json:"gap_ms"`
	// Error is what ended the stream; empty while it runs.
	Error string `json:"error"`
}

// streamer transfers records and keeps count.
type streamer struct {
	mu    sync.Mutex
	state state
	next  uint64
	last  time.Time
}

// stream sends a record every tick and expects it back (or, with -pull, just receives), until an error or a signal.
func stream(args []string, _ io.Writer) error {
	f := flags("stream")
	every := f.Duration("every", defaultEvery, "time between records")
	pulls := f.Bool("pull", false, "let the server send (TCP only)")
	args, err := parse(f, args, 3)
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout(args[0], args[1], defaultWait)
	if err != nil {
		return err
	}
	defer conn.Close()
	s := streamer{last: time.Now()}
	ended := make(chan error, 2)
	go func() { ended <- s.receive(conn, args[0] == "tcp") }()
	if *pulls {
		_, err = conn.Write([]byte(pull))
	} else {
		go func() { ended <- s.send(conn, *every) }()
	}
	if err != nil {
		return err
	}
	return s.report(args[2], ended)
}

func (s *streamer) send(conn net.Conn, every time.Duration) error {
	for n := uint64(0); ; n++ {
		if _, err := conn.Write(record(n)); err != nil {
			return err
		}
		s.mu.Lock()
		s.state.Sent = n + 1
		s.mu.Unlock()
		time.Sleep(every)
	}
}

func (s *streamer) receive(conn net.Conn, greeted bool) error {
	r := bufio.NewReader(conn)
	if greeted {
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
	}
	b := make([]byte, recordSize)
	for {
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		if !isRecord(b) {
			return fmt.Errorf("read record %d: not a record", s.next)
		}
		s.count(binary.BigEndian.Uint64(b[8:]))
	}
}

func (s *streamer) count(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.state.Gap = max(s.state.Gap, now.Sub(s.last).Milliseconds())
	s.last = now
	s.state.Received++
	s.state.Bytes += recordSize
	if n >= s.next {
		s.state.Lost += n - s.next
		s.next = n + 1
	}
}

// report writes the state ten times a second, and a last time at the end.
func (s *streamer) report(path string, ended <-chan error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var err error
		select {
		case err = <-ended:
		case <-tick.C:
		}
		s.mu.Lock()
		if err != nil {
			s.state.Error = describe(err)
		}
		data, marshal := json.Marshal(s.state)
		s.mu.Unlock()
		if marshal != nil {
			return marshal
		}
		if err := os.WriteFile(path+".new", data, 0o644); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
}

func readState(path string) (state, error) {
	var s state
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}

// printState prints the state; with -more it first waits for so many further records, and fails when they don't come.
func printState(args []string, out io.Writer) error {
	f := flags("state")
	more := f.Uint64("more", 0, "records to wait for")
	limit := f.Duration("w", 5*time.Second, "time limit")
	args, err := parse(f, args, 1)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(*limit)
	var first *state
	for {
		s, err := readState(args[0])
		if err == nil && first == nil {
			copied := s
			first = &copied
		}
		over := time.Now().After(deadline)
		if err != nil && over {
			return err
		}
		if first != nil && (s.Received >= first.Received+*more || over || s.Error != "") {
			fmt.Fprintf(out, "sent=%d received=%d bytes=%d lost=%d gap=%dms error=%q\n",
				s.Sent, s.Received, s.Bytes, s.Lost, s.Gap, s.Error)
			if s.Received < first.Received+*more {
				return fmt.Errorf("wait for %d records: %d came", *more, s.Received-first.Received)
			}
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}
