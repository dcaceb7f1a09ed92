package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const defaultWait = 2 * time.Second

// askTCP connects, prints the greeting, and checks that bytes come back as sent.
func askTCP(args []string, out io.Writer) error {
	f := flags("tcp")
	limit := f.Duration("w", defaultWait, "time limit")
	from := f.String("from", "", "address and port to connect from")
	size := f.Int("bytes", 0, "bytes to send and get back")
	args, err := parse(f, args, 1)
	if err != nil {
		return err
	}
	conn, err := dial("tcp", args[0], *from, *limit)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	greeting, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if err := echo(conn, r, *size); err != nil {
		return err
	}
	fmt.Fprint(out, "ok ", greeting)
	return nil
}

// echo sends size bytes and compares what comes back.
func echo(w io.Writer, r io.Reader, size int) error {
	want := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
	sent := make(chan error, 1)
	go func() {
		_, err := w.Write(want)
		sent <- err
	}()
	got := make([]byte, size)
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("compare %d bytes: they came back changed", size)
	}
	return <-sent
}

// askUDP sends one datagram and prints the answer; with -size, the answer must be the same datagram.
func askUDP(args []string, out io.Writer) error {
	f := flags("udp")
	limit := f.Duration("w", defaultWait, "time limit")
	from := f.String("from", "", "address and port to send from")
	size := f.Int("size", 0, "bytes to send and get back")
	df := f.Bool("df", false, "don't fragment; a packet that is too big for the path is an error")
	args, err := parse(f, args, 1)
	if err != nil {
		return err
	}
	conn, err := dial("udp", args[0], *from, *limit)
	if err != nil {
		return err
	}
	defer conn.Close()
	if *df {
		if err := dontFragment(conn.(syscall.Conn)); err != nil {
			return err
		}
	}
	message := []byte("hello")
	if *size > 0 {
		message = append([]byte("echo"), bytes.Repeat([]byte{'x'}, max(*size-4, 0))...)
	}
	answer, err := exchange(conn, message)
	if err != nil {
		return err
	}
	if *size > 0 {
		if !bytes.Equal(answer, message) {
			return fmt.Errorf("compare datagrams: %d bytes sent, %d came back", len(message), len(answer))
		}
		answer = fmt.Appendf(nil, "%d bytes\n", len(answer))
	}
	fmt.Fprintf(out, "ok %s", answer)
	return nil
}

// exchange sends message again every 300 ms until something comes back, or the connection's deadline is over.
func exchange(conn net.Conn, message []byte) ([]byte, error) {
	stop := make(chan struct{})
	defer close(stop)
	if _, err := conn.Write(message); err != nil {
		return nil, err
	}
	go func() {
		again := time.NewTicker(300 * time.Millisecond)
		defer again.Stop()
		for {
			select {
			case <-stop:
				return
			case <-again.C:
				_, _ = conn.Write(message)
			}
		}
	}()
	buf := make([]byte, 1<<16)
	n, err := conn.Read(buf)
	return buf[:n], err
}

// dontFragment makes the kernel refuse what exceeds the known path MTU.
func dontFragment(c syscall.Conn) error {
	sc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = sc.Control(func(fd uintptr) {
		e4 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		e6 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
		if e4 != nil && e6 != nil {
			failed = e4
		}
	})
	if err != nil {
		return err
	}
	return failed
}

func askHTTP(args []string, out io.Writer) error {
	f := flags("http")
	limit := f.Duration("w", defaultWait, "time limit")
	socket := f.String("unix", "", "socket to ask instead of the URL's host")
	post := f.String("post", "", "body to POST, or @FILE")
	args, err := parse(f, args, 1)
	if err != nil {
		return err
	}
	req, err := httpRequest(args[0], *post, isSet(f, "post"))
	if err != nil {
		return err
	}
	client := http.Client{Timeout: *limit}
	if *socket != "" {
		client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", *socket)
		}}
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ok %d %s", resp.StatusCode, body)
	return nil
}

// httpRequest asks for a page, or posts a body; @FILE is the file's content.
func httpRequest(url, body string, post bool) (*http.Request, error) {
	if !post {
		return http.NewRequest(http.MethodGet, url, nil)
	}
	if name, ok := strings.CutPrefix(body, "@"); ok {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		body = string(data)
	}
	return http.NewRequest(http.MethodPost, url, strings.NewReader(body))
}

func isSet(f *flag.FlagSet, name string) (set bool) {
	f.Visit(func(g *flag.Flag) { set = set || g.Name == name })
	return set
}

// dial connects with one deadline for everything that follows.
func dial(network, address, from string, limit time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: limit}
	if from != "" {
		var err error
		if network == "tcp" {
			d.LocalAddr, err = net.ResolveTCPAddr(network, from)
		} else {
			d.LocalAddr, err = net.ResolveUDPAddr(network, from)
		}
		if err != nil {
			return nil, err
		}
	}
	start := time.Now()
	conn, err := d.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(start.Add(limit))
}

func lookup(args []string, out io.Writer) error {
	args, err := parse(flags("lookup"), args, 1)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	addresses, err := (&net.Resolver{PreferGo: true}).LookupHost(ctx, args[0])
	if err != nil {
		return err
	}
	sort.Strings(addresses)
	fmt.Fprintln(out, strings.Join(addresses, "\n"))
	return nil
}
