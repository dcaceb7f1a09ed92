package hubble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	peerpb "github.com/cilium/cilium/api/v1/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// patience is how long tests wait for what should happen at once.
const patience = 10 * time.Second

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

var (
	web   = &observe.Party{Number: 1, EndpointID: "e1", Container: "web", Project: "shop", Service: "web", Network: "front", Identity: 300}
	db    = &observe.Party{Number: 2, EndpointID: "e2", Container: "db", Project: "shop", Service: "db", Network: "back", Identity: 301}
	cron  = &observe.Party{Number: 3, EndpointID: "e3", Container: "cron", Network: "back", Identity: 302}
	world = &observe.Party{Entity: api.EntityWorld, Identity: abi.IdentityWorld}
)

// flow is a packet, so many seconds after noon.
func flow(from, to *observe.Party, seconds int) *observe.Flow {
	return &observe.Flow{
		Time: noon.Add(time.Duration(seconds) * time.Second), Source: from, Destination: to, Endpoint: from,
		Kernel: abi.Event{Type: abi.EventTrace, Point: abi.PointEgress, Family: 4, Proto: 17, Opened: 1, Length: uint32(seconds + 1),
			Src: abi.FromAddr(netip.MustParseAddr("10.0.0.1")), Dst: abi.FromAddr(netip.MustParseAddr("10.0.0.2")), Sport: abi.ToBE16(uint16(seconds))},
	}
}

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// fixture is a server on a unix socket, and its client.
type fixture struct {
	t        *testing.T
	flows    *observe.Observer
	server   *Server
	agent    *AgentLog
	clock    *clock
	stop     context.CancelFunc
	observer observerpb.ObserverClient
	peer     peerpb.PeerClient
	conn     *grpc.ClientConn
}

// serve starts a server with a ring of that many flows; change may change its options.
func serve(t *testing.T, size int, change ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, flows: observe.New(observe.Options{Size: size}), clock: &clock{now: noon}}
	c := convert.New(convert.Options{Node: "host-a"})
	f.agent = NewAgentLog(c, f.clock.Now)
	o := Options{
		Flows: f.flows, Convert: c, Agent: f.agent, Version: "sluice 1.2.3", Now: f.clock.Now,
		Node: Node{Name: "host-a", Socket: "unix:///run/hubble.sock"},
	}
	for _, how := range change {
		how(&o)
	}
	f.server = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	f.stop = cancel
	var running sync.WaitGroup
	running.Go(func() { f.server.Run(ctx) })
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	path := filepath.Join(t.TempDir(), "hubble.sock")
	f.conn = f.open(ctx, &running, listen.Options{Address: path}, "unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	f.observer, f.peer = observerpb.NewObserverClient(f.conn), peerpb.NewPeerClient(f.conn)
	return f
}

// open serves on another listener and connects to it; an empty address is where it listens.
func (f *fixture) open(ctx context.Context, running *sync.WaitGroup, o listen.Options, address string, options ...grpc.DialOption) *grpc.ClientConn {
	f.t.Helper()
	l, err := listen.Open(o)
	if err != nil {
		f.t.Fatal(err)
	}
	running.Go(func() {
		if err := f.server.Serve(ctx, l); err != nil {
			f.t.Errorf("Serve: %v", err)
		}
	})
	if address == "" {
		address = l.Addr().(*net.TCPAddr).String()
	}
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	return conn
}

// add puts flows into the ring.
func (f *fixture) add(flows ...*observe.Flow) { f.flows.Flows().Add(flows...) }

// get asks for flows and returns those that come before the stream ends, said in short.
func (f *fixture) get(r *observerpb.GetFlowsRequest) (string, error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	stream, err := f.observer.GetFlows(ctx, r)
	if err != nil {
		f.t.Fatal(err)
	}
	return read(stream, -1)
}

// read takes n messages, all with -1.
func read(stream grpc.ServerStreamingClient[observerpb.GetFlowsResponse], n int) (string, error) {
	var got []string
	for ; n != 0; n-- {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return strings.Join(got, " "), err
		}
		if lost := m.GetLostEvents(); lost != nil {
			got = append(got, fmt.Sprintf("lost:%d", lost.GetNumEventsLost()))
		} else {
			got = append(got, fmt.Sprint(m.GetFlow().GetL4().GetUDP().GetSourcePort()))
		}
	}
	return strings.Join(got, " "), nil
}

func wantCode(t *testing.T, err error, want codes.Code, text string) {
	t.Helper()
	if status.Code(err) != want || !strings.Contains(fmt.Sprint(err), text) {
		t.Errorf("error %v, want %v with %q", err, want, text)
	}
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
