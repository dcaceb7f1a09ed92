package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"
)

// argument is the first argument of the process that Measure starts, a pair in JSON the second.
const argument = "load"

// pair is what the process does.
type pair struct{ Server, Client Spec }

// Sample is one measurement.
type Sample struct {
	Client, Server Result
	// Softirq is the time that the CPU's thread for interrupts deferred from both spent meanwhile.
	Softirq time.Duration
}

// CPU is the processor time of both sides.
func (s Sample) CPU() time.Duration { return s.Client.CPU + s.Server.CPU + s.Softirq }

// CPUPerGB is the processor time for 10⁹ bytes.
func (s Sample) CPUPerGB() time.Duration {
	return time.Duration(float64(s.CPU()) / (float64(s.Server.Bytes) / 1e9))
}

// CPUPerPacket is the processor time for one datagram that arrived.
func (s Sample) CPUPerPacket() time.Duration {
	return time.Duration(float64(s.CPU()) / float64(s.Server.Transactions))
}

// Lost counts the datagrams that did not arrive.
func (s Sample) Lost() int64 { return int64(s.Client.Transactions) - int64(s.Server.Transactions) }

// Main does what Measure wants of a process it started, and reports whether it is one. A program that calls Measure
// calls Main first.
func Main() bool {
	if len(os.Args) != 3 || os.Args[1] != argument {
		return false
	}
	go endWithParent()
	var p pair
	err := json.Unmarshal([]byte(os.Args[2]), &p)
	if err == nil {
		var s Sample
		if s, err = p.run(); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(s)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// endWithParent ends the process when the other end of its standard input is gone.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

// outcome is how a side ended.
type outcome struct {
	result Result
	err    error
}

// run runs both sides on threads of their own.
func (p pair) run() (Sample, error) {
	debug.SetGCPercent(-1)
	ready, served, sent := make(chan struct{}), make(chan outcome, 1), make(chan outcome, 1)
	go func() {
		served <- side(p.Server, func(s Spec) (Result, error) { return server(s, func() { close(ready) }) })
	}()
	select {
	case o := <-served:
		return Sample{}, fmt.Errorf("serve %s at %v: %w", p.Server.Mode, p.Server.Addr, o.err)
	case <-ready:
	}
	before := softirqTime(p.Client.CPU)
	go func() { sent <- side(p.Client, client) }()
	o := <-sent
	if o.err != nil {
		return Sample{}, fmt.Errorf("send %s to %v: %w", p.Client.Mode, p.Client.Addr, o.err)
	}
	s := Sample{Client: o.result}
	if o = <-served; o.err != nil {
		return Sample{}, fmt.Errorf("serve %s at %v: %w", p.Server.Mode, p.Server.Addr, o.err)
	}
	s.Server, s.Softirq = o.result, softirqTime(p.Client.CPU)-before
	return s, nil
}

func side(s Spec, work func(Spec) (Result, error)) (o outcome) {
	if o.err = s.check(); o.err == nil {
		o.err = settle(s)
	}
	if o.err == nil {
		o.result, o.err = work(s)
	}
	return o
}

// Measure runs a server and a client once. The mode and duration are the client's.
func Measure(ctx context.Context, server, client Spec) (Sample, error) {
	server.Mode, server.Duration = client.Mode, client.Duration
	ctx, cancel := context.WithTimeout(ctx, client.Duration+2*patience)
	defer cancel()
	text, err := json.Marshal(pair{server, client})
	if err != nil {
		return Sample{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return Sample{}, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, argument, string(text))
	// Neither thread ever lets go of what the scheduler of Go gave it, and no signal interrupts a system call.
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=4")
	alive, err := cmd.StdinPipe()
	if err != nil {
		return Sample{}, err
	}
	defer alive.Close()
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if said := strings.TrimSpace(complaint.String()); err != nil && said != "" {
		return Sample{}, errors.New(said)
	}
	var s Sample
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		return Sample{}, fmt.Errorf("measure %s: %w", client.Mode, err)
	}
	return s, nil
}
