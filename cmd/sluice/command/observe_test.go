package command

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-net/sluice/api/server/servertest"
)

// hubbleServer answers with one flow, and keeps what it was asked.
type hubbleServer struct {
	observerpb.UnimplementedObserverServer
	asked chan *observerpb.GetFlowsRequest
}

func (s *hubbleServer) GetFlows(req *observerpb.GetFlowsRequest, stream observerpb.Observer_GetFlowsServer) error {
	s.asked <- req
	return stream.Send(&observerpb.GetFlowsResponse{ResponseTypes: &observerpb.GetFlowsResponse_Flow{Flow: &flowpb.Flow{
		Time: timestamppb.New(servertest.Now), Verdict: flowpb.Verdict_DROPPED, IP: &flowpb.IP{Source: "172.30.0.2", Destination: "172.30.0.3"},
		Source: &flowpb.Endpoint{PodName: "web", Namespace: "default"}, EventType: &flowpb.CiliumEventType{Type: 1, SubType: 133},
	}}})
}

// observed runs sluice observe with a daemon that speaks Hubble's protocol beside its API.
func observed(t *testing.T, args ...string) (result, *observerpb.GetFlowsRequest) {
	t.Helper()
	dir := t.TempDir()
	s := &hubbleServer{asked: make(chan *observerpb.GetFlowsRequest, 1)}
	l, err := net.Listen("unix", filepath.Join(dir, hubbleSocket))
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	observerpb.RegisterObserverServer(g, s)
	go func() { _ = g.Serve(l) }()
	defer g.Stop()
	got := run(t, "", append([]string{"sluice", "--socket", filepath.Join(dir, "sluice.sock"), "observe"}, args...)...)
	select {
	case req := <-s.asked:
		return got, req
	default:
		return got, nil
	}
}

func TestObserve(t *testing.T) {
	got, req := observed(t, "web", "--verdict", "dropped", "--not", "--to-port", "53", "--since", "1m")
	if want := "Jan  2 15:04:05.000 web <> 172.30.0.3 Policy denied DROPPED\n"; got.code != exitGood || got.out != want || got.err != "" {
		t.Errorf("got %+v, want %q", got, want)
	}
	if len(req.GetWhitelist()) != 4 || len(req.GetBlacklist()) != 1 || len(req.GetFieldMask().GetPaths()) == 0 ||
		!req.GetSince().AsTime().Equal(servertest.Now.Add(-time.Minute)) || req.GetNumber() != 0 {
		t.Errorf("asked %v", req)
	}
}

func TestObserveJSON(t *testing.T) {
	got, req := observed(t, "-o", "json", "--field-mask", "verdict,time", "--last", "3")
	if got.code != exitGood || !strings.HasPrefix(got.out, `{"flow":{"time":`) {
		t.Errorf("got %+v", got)
	}
	if p := req.GetFieldMask().GetPaths(); len(p) != 2 || req.GetNumber() != 3 {
		t.Errorf("asked %v", req)
	}
}

func TestObserveFile(t *testing.T) {
	line := `{"flow":{"time":"2026-01-02T15:04:05Z","verdict":"FORWARDED","IP":{"source":"::1","destination":"::2","ipVersion":"IPv6"},"l4":{"UDP":{"source_port":1,"destination_port":53}},"event_type":{"type":4},"is_reply":false}}` + "\n"
	want := "Jan  2 15:04:05.000 [::1]:1 -> [::2]:53 to-endpoint FORWARDED\n"
	if got := run(t, line, "sluice", "observe", "--input-file", "-", "--to-port", "53"); got.out != want || got.code != exitGood {
		t.Errorf("got %+v", got)
	}
	name := filepath.Join(t.TempDir(), "flows.json")
	if err := os.WriteFile(name, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "", "sluice", "observe", "--input-file", name, "--not", "--ipv6"); got.out != "" || got.code != exitGood {
		t.Errorf("got %+v", got)
	}
}

func TestObserveColours(t *testing.T) {
	for args, want := range map[string]bool{"auto": false, "always": true, "never": false} {
		got, _ := observed(t, "--color", args)
		if has := strings.Contains(got.out, "\x1b["); has != want {
			t.Errorf("--color %s: colours: %t", args, has)
		}
	}
}

func TestObserveRawFilters(t *testing.T) {
	got := run(t, "", "sluice", "observe", "--from-container", "web", "--not", "--verdict", "AUDIT", "--print-raw-filters")
	want := "allowlist:\n    - '{\"source_pod\":[\"/web$\"]}'\ndenylist:\n    - '{\"verdict\":[\"AUDIT\"]}'\n"
	if got.code != exitGood || got.out != want {
		t.Errorf("got %+v", got)
	}
}

func TestObserveRefuses(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{"-f -o table", exitUsage, "it cannot follow"},
		{"--field-mask verdict", exitUsage, "-o compact prints certain fields"},
		{"--input-file x -f", exitUsage, "cannot be followed"},
		{"--input-file /nonexistent", exitRefused, "no such file"},
		{"--time-format x", exitUsage, `there is no time format "x", only StampMilli`},
		{"--first 1 --last 1", exitUsage, "cannot be combined"},
		{"--verdict x", exitUsage, "--verdict x: it is none of"},
		{"--reply=x", exitUsage, "it takes no value"},
		{"--not", exitUsage, "nothing follows it"},
		{"a/b/c", exitUsage, "services are named"},
		{"--color x", exitUsage, "must be one of auto, always, never"},
	} {
		got := run(t, "", append([]string{"sluice", "observe"}, strings.Fields(c.args)...)...)
		if got.code != c.code || !strings.Contains(got.err, c.err) {
			t.Errorf("%s: %+v, want %q", c.args, got, c.err)
		}
	}
	none := filepath.Join(t.TempDir(), "sluice.sock")
	got := run(t, "", "sluice", "--socket", none, "observe")
	if got.code != exitRefused || !strings.Contains(got.err, "hubble.sock: no such socket; is sluiced running?") {
		t.Errorf("got %+v", got)
	}
}
