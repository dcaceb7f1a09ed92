package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	peerpb "github.com/cilium/cilium/api/v1/peer"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/observe"
)

func TestHubbleSettings(t *testing.T) {
	c, _, err := parseConfig([]string{"--run-dir=/r", "--hubble-peers=a=h:1,b=h:2", "--node-name=a"})
	if err != nil || c.hubble.socket != "/r/hubble.sock" || c.hubble.cluster != "default" {
		t.Errorf("%+v, %v", c.hubble, err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if c, _, err := parseConfig([]string{"--hubble-socket="}); err != nil || c.hubble.socket != "" || c.hubble.node != host {
		t.Errorf("without a socket: %+v, %v", c.hubble, err)
	}
	for want, args := range map[string][]string{
		"hubble-socket \"s\": use an absolute path":            {"--hubble-socket=s"},
		"hubble-listen: listen on :4244: without TLS":          {"--hubble-listen=:4244", "--hubble-tokens=/t"},
		"everybody who reaches it would see all flows":         {"--hubble-listen=127.0.0.1:4244"},
		"the unix socket is hubble-socket":                     {"--hubble-listen=/run/h.sock"},
		"hubble-tokens are about hubble-listen":                {"--hubble-tokens=/t"},
		"hubble-tls and hubble-tokens are about hubble-listen": {"--hubble-tls-cert=/c"},
		"certificate and key go together":                      {"--hubble-listen=:4244", "--hubble-tls-cert=/c"},
		"hubble-peers: peer \"x\": use NAME=HOST:PORT":         {"--hubble-peers=x"},
		"node-name \"a/b\": use a name without slash or space": {"--node-name=a/b"},
		"cluster-name \"\": use a name without slash or space": {"--cluster-name="},
	} {
		if _, _, err := parseConfig(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", args, err, want)
		}
	}
}

// serveHubbleAlone serves Hubble's API of a daemon that has no other part.
func serveHubbleAlone(t *testing.T, args ...string) *daemon {
	t.Helper()
	c, _, err := parseConfig(append([]string{"--run-dir", t.TempDir(), "--node-name", "host-a"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	log, _ := logtest.NewNullLogger()
	d := &daemon{config: c, log: log, observer: observe.New(observe.Options{Size: 16})}
	for _, step := range []func(context.Context) error{d.wireConvert, d.wireHubble} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 2)
	d.serveHubble(ctx, failed)
	t.Cleanup(func() {
		cancel()
		d.background.Wait()
		if err := d.close(); err != nil {
			t.Error(err)
		}
		select {
		case err := <-failed:
			t.Error(err)
		default:
		}
	})
	return d
}

func TestHubbleServes(t *testing.T) {
	certs := testutil.NewCertificates(t, "host-a.default.hubble-grpc.cilium.io")
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string // what peers are told
	}{
		"the socket alone":   {nil, "host-a unix://RUN/hubble.sock"},
		"loopback, no relay": {[]string{"--hubble-listen=127.0.0.1:0", "--hubble-tokens", tokens}, "host-a unix://RUN/hubble.sock"},
		"TLS": {[]string{"--hubble-listen=127.0.0.1:0", "--hubble-tls-cert", certs.ServerCert, "--hubble-tls-key", certs.ServerKey,
			"--hubble-tls-client-ca", certs.CA, "--hubble-peers", "host-a=10.0.0.1:4244"}, "host-a 10.0.0.1:4244 host-a.default.hubble-grpc.cilium.io"},
	} {
		t.Run(name, func(t *testing.T) {
			d := serveHubbleAlone(t, c.args...)
			conn, err := grpc.NewClient("unix://"+d.config.hubble.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			status, err := observerpb.NewObserverClient(conn).ServerStatus(t.Context(), &observerpb.ServerStatusRequest{})
			if err != nil || status.GetMaxFlows() != 16 || !strings.HasPrefix(status.GetVersion(), "sluice ") {
				t.Errorf("status %v, %v", status, err)
			}
			stream, err := peerpb.NewPeerClient(conn).Notify(t.Context(), &peerpb.NotifyRequest{})
			if err != nil {
				t.Fatal(err)
			}
			m, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			got := strings.TrimSpace(m.GetName() + " " + m.GetAddress() + " " + m.GetTls().GetServerName())
			if want := strings.ReplaceAll(c.want, "RUN", d.config.runDir); got != want {
				t.Errorf("peer %s, want %s", got, want)
			}
		})
	}
}

func TestInterfaceNames(t *testing.T) {
	n := &interfaceNames{known: map[uint32]interfaceName{}}
	if got := n.name(1); got != "lo" {
		t.Errorf("interface 1 is %q", got)
	}
	if got := n.name(1 << 30); got != "" {
		t.Errorf("an interface that does not exist is %q", got)
	}
	if n.known[1].name != "lo" {
		t.Error("the name is not remembered")
	}
}
