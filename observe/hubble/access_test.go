package hubble

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"sync"
	"testing"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/observe"
)

const (
	tokenOfAll   = "0123456789abcdef-all"
	tokenOfShop  = "0123456789abcdef-shop"
	tokenOfFront = "0123456789abcdef-front"
)

// withTokens serves on loopback with tokens, too, and returns the client of that.
func withTokens(t *testing.T, f *fixture) observerpb.ObserverClient {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	text := tokenOfAll + "\n" + tokenOfShop + " shop\n" + tokenOfFront + " network:front\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return observerpb.NewObserverClient(f.also(listen.Options{Address: "127.0.0.1:0", TokenFile: path}, insecure.NewCredentials()))
}

// also serves on a further listener.
func (f *fixture) also(o listen.Options, creds credentials.TransportCredentials) *grpc.ClientConn {
	ctx, cancel := context.WithCancel(f.t.Context())
	var running sync.WaitGroup
	f.t.Cleanup(running.Wait)
	f.t.Cleanup(cancel)
	return f.open(ctx, &running, o, "", grpc.WithTransportCredentials(creds))
}

func bearer(t *testing.T, token string) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func TestTokens(t *testing.T) {
	f := serve(t, 100)
	client := withTokens(t, f)
	f.add(flow(web, db, 0), flow(web, cron, 1), flow(cron, db, 2), flow(cron, world, 3), flow(world, web, 4), flow(world, world, 5), flow(web, web, 6))
	for token, want := range map[string]string{
		tokenOfAll:   "0 1 2 3 4 5 6",
		tokenOfShop:  "0 4 6", // nothing of cron, nor between others
		tokenOfFront: "4 6",   // web alone is on that network
	} {
		stream, err := client.GetFlows(bearer(t, token), &observerpb.GetFlowsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(stream, -1); err != nil || got != want {
			t.Errorf("%s sees %s, %v, want %s", token, got, err, want)
		}
	}
	stream, err := client.GetFlows(bearer(t, tokenOfShop), &observerpb.GetFlowsRequest{Number: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(stream, -1); err != nil || got != "4 6" {
		t.Errorf("the last two that may be seen are %s, %v", got, err)
	}
	eventually(t, "namespaces", func() bool {
		all, err := client.GetNamespaces(bearer(t, tokenOfAll), &observerpb.GetNamespacesRequest{})
		return err == nil && len(all.GetNamespaces()) == 2
	})
	some, err := client.GetNamespaces(bearer(t, tokenOfShop), &observerpb.GetNamespacesRequest{})
	if err != nil || len(some.GetNamespaces()) != 1 || some.GetNamespaces()[0].GetNamespace() != "shop" {
		t.Errorf("namespaces %v, %v", some, err)
	}
}

func TestTokensOfAgentEvents(t *testing.T) {
	f := serve(t, 100)
	f.observer = withTokens(t, f)
	f.agent.PolicyChanged("secret", 1, 1, false)
	f.agent.EndpointCreated(web)
	f.agent.EndpointCreated(cron)
	stream, err := f.observer.GetAgentEvents(bearer(t, tokenOfShop), &observerpb.GetAgentEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.Recv()
	if err != nil || m.GetAgentEvent().GetEndpointUpdate().GetPodName() != "web" {
		t.Errorf("got %v, %v", m, err)
	}
	if m, err := stream.Recv(); err == nil {
		t.Errorf("a second event is shown: %v", m)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	f := serve(t, 100)
	f.add(flow(web, db, 0))
	client := withTokens(t, f)
	for _, token := range []string{"", "0123456789abcdef", tokenOfAll + "x"} {
		stream, err := client.GetFlows(bearer(t, token), &observerpb.GetFlowsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(stream, -1)
		if got != "" {
			t.Errorf("token %q sees %s", token, got)
		}
		wantCode(t, err, codes.Unauthenticated, "token")
		_, err = client.ServerStatus(bearer(t, token), &observerpb.ServerStatusRequest{})
		wantCode(t, err, codes.Unauthenticated, "token")
	}
}

func TestTLS(t *testing.T) {
	f := serve(t, 100)
	certs := testutil.NewCertificates(t, "host-a.default.hubble-grpc.cilium.io")
	o := listen.Options{
		Address: "127.0.0.1:0", TLS: listen.Files{Cert: certs.ServerCert, Key: certs.ServerKey, ClientCA: certs.CA}, Protocols: Protocols,
	}
	conf := &tls.Config{RootCAs: certs.Pool, ServerName: "host-a.default.hubble-grpc.cilium.io", Certificates: []tls.Certificate{certs.Client}}
	conn := f.also(o, credentials.NewTLS(conf))
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "hubble.server.Observer"}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	strange := f.also(o, credentials.NewTLS(&tls.Config{RootCAs: certs.Pool, ServerName: conf.ServerName}))
	_, err := healthpb.NewHealthClient(strange).Check(t.Context(), &healthpb.HealthCheckRequest{})
	wantCode(t, err, codes.Unavailable, "") // TLS 1.3 tells the client after its handshake
}

// TestScopeOfParties: what has no container is nobody's to see.
func TestScopeOfParties(t *testing.T) {
	nobody := &observe.Party{}
	f := serve(t, 10)
	client := withTokens(t, f)
	f.add(flow(nobody, nobody, 0), flow(nobody, web, 1), flow(web, nobody, 2))
	stream, err := client.GetFlows(bearer(t, tokenOfShop), &observerpb.GetFlowsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(stream, -1); err != nil || got != "1 2" {
		t.Errorf("got %s, %v", got, err)
	}
}
