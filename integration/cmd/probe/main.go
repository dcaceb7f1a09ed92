package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sort"
	"syscall"
)

// command is one of probe's commands; run gets the arguments behind its name.
type command struct {
	usage string
	run   func(args []string, out io.Writer) error
}

func commands() map[string]command {
	return map[string]command{
		"serve":  {"[-name N] [-on ADDR] [-tcp PORTS] [-udp PORTS] [-http PORTS]: answer until a signal comes", serve},
		"dns":    {"LISTEN ADDR: answer every name with an IPv4 address", serveDNS},
		"wait":   {": do nothing until a signal comes", wait},
		"tcp":    {"[-w TIME] [-from ADDR] [-bytes N] HOST:PORT: connect, read the greeting, send bytes and get them back", askTCP},
		"udp":    {"[-w TIME] [-from ADDR] [-size N] [-df] HOST:PORT: send a datagram and get the answer", askUDP},
		"http":   {"[-w TIME] [-unix SOCKET] [-post BODY|@FILE] URL: get a page, or post a body", askHTTP},
		"rate":   {"[-t TIME] [-at BITS] tcp|udp HOST:PORT: send as much as passes, print what arrived, in bits per second", rate},
		"ping":   {"[-w TIME] [-size N] [-df] ADDR: ICMP echo", ping},
		"trace":  {"[-w TIME] [-hops N] ADDR: the routers on the way, one a line", trace},
		"stream": {"[-every TIME] [-pull] tcp|udp HOST:PORT FILE: transfer records without end, keep the state in FILE", stream},
		"state":  {"[-more N] [-w TIME] FILE: print a stream's state, after N more records", printState},
		"lookup": {"NAME: its addresses, one a line", lookup},
		"raw":    {"-dev D -src IP -dst IP [-smac M] [-dmac M] [-port N]: send a UDP frame as made up", raw},
	}
}

func main() {
	if len(os.Args) < 2 {
		usage()
		os.Exit(2)
	}
	c, ok := commands()[os.Args[1]]
	if !ok {
		usage()
		os.Exit(2)
	}
	if err := c.run(os.Args[2:], os.Stdout); err != nil {
		fmt.Println(describe(err))
		os.Exit(1)
	}
}

func usage() {
	all := commands()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(os.Stderr, "probe %s %s\n", name, all[name].usage)
	}
}

// describe says in a word what came of it, where there is a word for it.
func describe(err error) string {
	words := []struct {
		errno syscall.Errno
		word  string
	}{
		{syscall.ECONNREFUSED, "refused"}, {syscall.ECONNRESET, "reset"}, {syscall.EPIPE, "reset"},
		{syscall.ENETUNREACH, "unreachable"}, {syscall.EHOSTUNREACH, "unreachable"},
		{syscall.EACCES, "prohibited"}, {syscall.EPERM, "prohibited"}, {syscall.EMSGSIZE, "too big"},
		{syscall.ETIMEDOUT, "timeout"}, {syscall.ENOBUFS, "dropped"}, // by a program, and the kernel tells the sender
	}
	for _, w := range words {
		if errors.Is(err, w.errno) {
			return w.word
		}
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	return "error: " + err.Error()
}

// parse reads flags and requires n arguments behind them.
func parse(f *flag.FlagSet, args []string, n int) ([]string, error) {
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() != n {
		return nil, fmt.Errorf("%s: want %d arguments, got %d", f.Name(), n, f.NArg())
	}
	return f.Args(), nil
}

func flags(name string) *flag.FlagSet { return flag.NewFlagSet(name, flag.ContinueOnError) }

func wait(_ []string, _ io.Writer) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	return nil
}
