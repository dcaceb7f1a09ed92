package hubble

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	peerpb "github.com/cilium/cilium/api/v1/peer"
	relaypb "github.com/cilium/cilium/api/v1/relay"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

func serveConverter() *convert.Converter { return convert.New(convert.Options{Node: "host-a"}) }

func TestServerStatus(t *testing.T) {
	f := serve(t, 100)
	for i := range 130 {
		f.add(flow(web, db, i))
	}
	f.clock.set(noon.Add(130 * time.Second))
	got, err := f.observer.ServerStatus(t.Context(), &observerpb.ServerStatusRequest{})
	want := &observerpb.ServerStatusResponse{
		NumFlows: 100, MaxFlows: 100, SeenFlows: 130, UptimeNs: uint64(130 * time.Second), Version: "sluice 1.2.3", FlowsRate: 1,
	}
	if err != nil || !cmp.Equal(want, got, protocmp.Transform()) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestRate(t *testing.T) {
	for _, c := range []struct {
		name     string
		size, n  int
		interval time.Duration
		up       time.Duration
		want     float64
	}{
		{"nothing", 10, 0, 0, time.Hour, 0},
		{"just started", 10, 0, 0, 0, 0},
		{"a minute of many", 1000, 600, time.Second, time.Hour, 1},
		{"less than a minute", 1000, 20, time.Second, 20 * time.Second, 1},
		{"a ring that holds less", 10, 600, 100 * time.Millisecond, time.Hour, 10},
		{"long ago", 100, 0, 0, time.Hour, 0},
	} {
		ring := observe.NewFlows(c.size)
		now := noon.Add(time.Hour)
		for i := range c.n {
			ring.Add(&observe.Flow{Time: now.Add(-time.Duration(c.n-i) * c.interval)})
		}
		if got := rate(ring, now, c.up); got != c.want {
			t.Errorf("%s: %v a second, want %v", c.name, got, c.want)
		}
	}
}

func TestNodes(t *testing.T) {
	f := serve(t, 100, func(o *Options) {
		o.Node.Address, o.Node.TLS = "10.0.0.1:4244", true
		o.Peers = []Peer{{"host-b.lan", "10.0.0.2:4244"}}
	})
	got, err := f.observer.GetNodes(t.Context(), &observerpb.GetNodesRequest{})
	want := []*observerpb.Node{
		{Name: "host-a", Version: "sluice 1.2.3", Address: "10.0.0.1:4244", State: relaypb.NodeState_NODE_CONNECTED, MaxFlows: 100,
			Tls: &observerpb.TLS{Enabled: true, ServerName: "host-a.default.hubble-grpc.cilium.io"}},
		{Name: "host-b.lan", Address: "10.0.0.2:4244", Tls: &observerpb.TLS{Enabled: true, ServerName: "host-b-lan.default.hubble-grpc.cilium.io"}},
	}
	if diff := cmp.Diff(want, got.GetNodes(), protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestNamespaces(t *testing.T) {
	f := serve(t, 100)
	names := func() string {
		r, err := f.observer.GetNamespaces(t.Context(), &observerpb.GetNamespacesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, n := range r.GetNamespaces() {
			all = append(all, n.GetCluster()+"/"+n.GetNamespace())
		}
		return strings.Join(all, " ")
	}
	if got := names(); got != "" {
		t.Errorf("before the first flow: %s", got)
	}
	f.add(flow(world, web, 0), flow(cron, world, 600))
	eventually(t, "both namespaces", func() bool { return names() == "default/default default/shop" })
	f.clock.set(noon.Add(time.Hour + time.Minute))
	if got := names(); got != "default/default" {
		t.Errorf("an hour after the first: %s", got)
	}
	f.add(flow(web, world, 3700))
	eventually(t, "the first is back", func() bool { return strings.Contains(names(), "shop") })
}

func TestPeers(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"alone", func(*Options) {}, "host-a unix:///run/hubble.sock"},
		{"with others", func(o *Options) {
			o.Node.Address, o.Node.TLS, o.Peers = "10.0.0.1:4244", true, []Peer{{"host-b", "10.0.0.2:4244"}}
		}, "host-a 10.0.0.1:4244 host-a.default.hubble-grpc.cilium.io, host-b 10.0.0.2:4244 host-b.default.hubble-grpc.cilium.io"},
		{"on all addresses, asked by the socket", func(o *Options) { o.Node.Address, o.Node.TLS = "[::]:4244", true },
			"host-a 127.0.0.1:4244 host-a.default.hubble-grpc.cilium.io"},
		{"in a cluster", func(o *Options) {
			o.Convert, o.Peers = convert.New(convert.Options{Node: "host-a", Cluster: "east"}), []Peer{{"host-b", "unix:///b"}}
		}, "east/host-a unix:///run/hubble.sock, east/host-b unix:///b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := serve(t, 10, c.change)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			stream, err := f.peer.Notify(ctx, &peerpb.NotifyRequest{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for range strings.Split(c.want, ", ") {
				m, err := stream.Recv()
				if err != nil || m.GetType() != peerpb.ChangeNotificationType_PEER_ADDED {
					t.Fatalf("%v, %v", m, err)
				}
				got = append(got, strings.TrimSpace(fmt.Sprint(m.GetName(), " ", m.GetAddress(), " ", m.GetTls().GetServerName())))
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("peers %s, want %s", strings.Join(got, ", "), c.want)
			}
			held := make(chan error, 1)
			go func() { _, err := stream.Recv(); held <- err }()
			select {
			case err := <-held:
				t.Errorf("the stream is not held open: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
		})
	}
}

func TestParsePeers(t *testing.T) {
	peers, own, err := ParsePeers([]string{"a=10.0.0.1:4244", " b=[fd00::2]:4244", "c=unix:///run/c.sock"}, "a")
	if err != nil || own != "10.0.0.1:4244" || !cmp.Equal(peers, []Peer{{"b", "[fd00::2]:4244"}, {"c", "unix:///run/c.sock"}}) {
		t.Errorf("peers %v, own %s, %v", peers, own, err)
	}
	for list, want := range map[string]string{
		"a": "NAME=HOST:PORT", "=h:1": "NAME=HOST:PORT", "a=h": "HOST:PORT", "a=:1": "HOST:PORT", "a=h:": "HOST:PORT", "a=h:1,a=h:2": "twice",
	} {
		if _, _, err := ParsePeers(strings.Split(list, ","), "z"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", list, err)
		}
	}
}

func TestHealth(t *testing.T) {
	f := serve(t, 10)
	client := healthpb.NewHealthClient(f.conn)
	for _, service := range []string{"", "hubble.server.Observer", "observer.Observer", "peer.Peer"} {
		r, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, r, err)
		}
	}
	_, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "other"})
	wantCode(t, err, codes.NotFound, "unknown")
}

func TestReflection(t *testing.T) {
	f := serve(t, 10)
	stream, err := reflectionpb.NewServerReflectionClient(f.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil || !strings.Contains(fmt.Sprint(r), "observer.Observer") || !strings.Contains(fmt.Sprint(r), "peer.Peer") {
		t.Errorf("services: %v, %v", r, err)
	}
}
