package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// The first argument of the processes that Measure starts.
const (
	serveArgument = "load-serve"
	sendArgument  = "load-send"
)

// readyLine is what a server says before its result.
const readyLine = "ready\n"

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
	if len(os.Args) != 3 || os.Args[1] != serveArgument && os.Args[1] != sendArgument {
		return false
	}
	go endWithParent()
	result, err := child(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
	return true
}

// endWithParent ends the process when the other end of its standard input is gone.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

func child(role, argument string) (Result, error) {
	var s Spec
	if err := json.Unmarshal([]byte(argument), &s); err != nil {
		return Result{}, fmt.Errorf("read load: %w", err)
	}
	if err := s.check(); err != nil {
		return Result{}, err
	}
	if err := settle(s); err != nil {
		return Result{}, err
	}
	if role == serveArgument {
		return server(s, func() { fmt.Print(readyLine) })
	}
	return client(s)
}

// Measure runs a server and a client once. The mode and duration are the client's.
func Measure(ctx context.Context, server, client Spec) (Sample, error) {
	server.Mode, server.Duration = client.Mode, client.Duration
	ctx, cancel := context.WithTimeout(ctx, client.Duration+2*patience)
	defer cancel()
	serving, err := start(ctx, serveArgument, server)
	if err != nil {
		return Sample{}, err
	}
	defer serving.end()
	if line, err := serving.out.ReadString('\n'); err != nil || line != readyLine {
		return Sample{}, fmt.Errorf("serve %s at %v: %s", server.Mode, server.Addr, serving.complaint(err))
	}
	before := softirqTime(client.CPU)
	sending, err := start(ctx, sendArgument, client)
	if err != nil {
		return Sample{}, err
	}
	defer sending.end()
	var s Sample
	if s.Client, err = sending.result(); err != nil {
		return Sample{}, fmt.Errorf("send %s to %v: %w", client.Mode, client.Addr, err)
	}
	if s.Server, err = serving.result(); err != nil {
		return Sample{}, fmt.Errorf("serve %s at %v: %w", server.Mode, server.Addr, err)
	}
	s.Softirq = softirqTime(client.CPU) - before
	return s, nil
}

// process is one side of a measurement.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	out    *bufio.Reader
	errors bytes.Buffer
}

func start(ctx context.Context, role string, s Spec) (*process, error) {
	argument, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	p := &process{cmd: exec.CommandContext(ctx, self, role, string(argument))}
	p.cmd.Stderr = &p.errors
	// Without preemption by signals no system call is interrupted.
	p.cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1")
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	return p, nil
}

func (p *process) result() (Result, error) {
	var r Result
	if err := json.NewDecoder(p.out).Decode(&r); err != nil {
		return r, fmt.Errorf("%s", p.complaint(err))
	}
	return r, nil
}

// complaint ends the process and returns what it said against itself, or else the cause.
func (p *process) complaint(cause error) string {
	p.end()
	if said := strings.TrimSpace(p.errors.String()); said != "" {
		return said
	}
	return fmt.Sprint(cause)
}

// end ends the process if it still runs; it may be called again.
func (p *process) end() {
	p.stdin.Close()
	_ = p.cmd.Wait()
}
