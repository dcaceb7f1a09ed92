package flows

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// server answers every request with the answers, and then with an error, or, when asked to follow, never ends.
type server struct {
	observerpb.UnimplementedObserverServer
	answers []*observerpb.GetFlowsResponse
	err     error
	asked   chan *observerpb.GetFlowsRequest
}

func (s *server) GetFlows(req *observerpb.GetFlowsRequest, stream observerpb.Observer_GetFlowsServer) error {
	s.asked <- req
	for _, a := range s.answers {
		if err := stream.Send(a); err != nil {
			return err
		}
	}
	if s.err == nil && req.GetFollow() {
		<-stream.Context().Done()
	}
	return s.err
}

func serve(t *testing.T, network, address string, s *server, o ...grpc.ServerOption) string {
	t.Helper()
	s.asked = make(chan *observerpb.GetFlowsRequest, 10)
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(o...)
	observerpb.RegisterObserverServer(g, s)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	return l.Addr().String()
}

func ask(t *testing.T, s Server, req *observerpb.GetFlowsRequest) (n int, err error) {
	t.Helper()
	s.Timeout = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	source, err := Dial(ctx, s)
	if err != nil {
		return 0, err
	}
	defer source.Close()
	err = source.Flows(ctx, req, func(*observerpb.GetFlowsResponse) error { n++; return nil })
	return n, err
}

func TestServerOnSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "hubble.sock")
	s := &server{answers: answers()}
	serve(t, "unix", socket, s)
	for _, address := range []string{"unix://" + socket, socket} {
		if n, err := ask(t, Server{Address: address}, &observerpb.GetFlowsRequest{Number: 7}); err != nil || n != len(answers()) {
			t.Errorf("%s: %d answers, %v", address, n, err)
		}
		if req := <-s.asked; req.GetNumber() != 7 {
			t.Errorf("asked %v", req)
		}
	}
	if _, err := ask(t, Server{Address: socket, TLS: true}, nil); err == nil || !strings.Contains(err.Error(), "has no TLS") {
		t.Errorf("TLS on a socket: %v", err)
	}
}

func TestFollowEnds(t *testing.T) {
	s := &server{answers: answers()[:1]}
	socket := filepath.Join(t.TempDir(), "h")
	serve(t, "unix", socket, s)
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	source, err := Dial(ctx, Server{Address: socket, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	err = source.Flows(ctx, &observerpb.GetFlowsRequest{Follow: true}, func(*observerpb.GetFlowsResponse) error { interrupt(); return nil })
	if err != nil {
		t.Errorf("an interruption is an error: %v", err)
	}
	enough := errors.New("enough")
	err = source.Flows(context.Background(), &observerpb.GetFlowsRequest{Follow: true}, func(*observerpb.GetFlowsResponse) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("a reader that fails: %v", err)
	}
}

func TestServerRefuses(t *testing.T) {
	for _, c := range []struct {
		code codes.Code
		want string
	}{
		{codes.Unavailable, "did the daemon stop?"},
		{codes.InvalidArgument, ": frob"},
		{codes.ResourceExhausted, "end other clients"},
		{codes.Unimplemented, "no Hubble server"},
	} {
		socket := filepath.Join(t.TempDir(), "h")
		serve(t, "unix", socket, &server{err: status.Error(c.code, "frob")})
		if _, err := ask(t, Server{Address: socket}, &observerpb.GetFlowsRequest{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.code, err, c.want)
		}
	}
}

func TestNoServer(t *testing.T) {
	dir := t.TempDir()
	silent := filepath.Join(dir, "silent")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: silent, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	for address, want := range map[string]string{
		"unix://" + filepath.Join(dir, "none"): "no such socket; is sluiced running?",
		silent:                                 "nobody listens; is sluiced running?",
		free.Addr().String():                   "sluiced --hubble-listen",
	} {
		if _, err := ask(t, Server{Address: address}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

func TestTargets(t *testing.T) {
	for address, want := range map[string][3]string{
		"unix:///run/x":  {"unix:/run/x", "unix", "/run/x"},
		"/run/x":         {"unix:/run/x", "unix", "/run/x"},
		"host:1":         {"passthrough:///host:1", "tcp", "host:1"},
		"tls://host:1":   {"passthrough:///host:1", "tcp", "host:1"},
		"host":           {"passthrough:///host:4244", "tcp", "host:4244"},
		"fd00::1":        {"passthrough:///[fd00::1]:4244", "tcp", "[fd00::1]:4244"},
		"tls://[::1]:80": {"passthrough:///[::1]:80", "tcp", "[::1]:80"},
	} {
		target, network, where := Server{Address: address}.target()
		if got := [3]string{target, network, where}; got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// issue makes an authority's certificate and one of a server and a client that it signs, as files.
func issue(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	private := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey, ownKey := private(), private()
	own := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a.hubble"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, own, authority, ownKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(ownKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("ca.pem", "CERTIFICATE", caDER), write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", keyDER)
}

func TestServerWithTLS(t *testing.T) {
	ca, cert, key := issue(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	text, err := os.ReadFile(ca)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	address := serve(t, "tcp", "127.0.0.1:0", &server{answers: answers()}, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS13})))
	right := Server{Address: "tls://" + address, CAFiles: []string{ca}, CertFile: cert, KeyFile: key, ServerName: "a.hubble"}
	if n, err := ask(t, right, &observerpb.GetFlowsRequest{}); err != nil || n != len(answers()) {
		t.Errorf("%d answers, %v", n, err)
	}
	for name, c := range map[string]struct {
		change func(*Server)
		want   string
	}{
		"unknown authority":     {func(s *Server) { s.CAFiles = nil }, "--tls-ca-cert-files"},
		"another name":          {func(s *Server) { s.ServerName = "b.hubble" }, "--tls-server-name"},
		"no client certificate": {func(s *Server) { s.CertFile, s.KeyFile = "", "" }, "--tls-client-cert-file"},
		"without TLS":           {func(s *Server) { *s = Server{Address: address} }, "ask for flows"},
		"no key":                {func(s *Server) { s.KeyFile = "" }, "belong together"},
		"no such file":          {func(s *Server) { s.CAFiles = []string{"/nonexistent"} }, "no such file"},
		"no certificate":        {func(s *Server) { s.CAFiles = []string{key} }, "no certificate in PEM"},
		"key of another":        {func(s *Server) { s.CertFile = ca }, "--tls-client-key-file"},
	} {
		s := right
		c.change(&s)
		if _, err := ask(t, s, &observerpb.GetFlowsRequest{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	insecure := Server{Address: address, TLS: true, AllowInsecure: true, CertFile: cert, KeyFile: key}
	if _, err := ask(t, insecure, &observerpb.GetFlowsRequest{}); err != nil {
		t.Errorf("any certificate: %v", err)
	}
}

func TestFile(t *testing.T) {
	text, _ := printAll(t, PrintOptions{Format: JSON}, answers())
	text = "\n{\"frob\n" + strings.Replace(text, `{"flow":{`, `{"flow":{"frob":1,`, 1)
	for _, c := range []struct {
		name string
		req  *observerpb.GetFlowsRequest
		want []int // flows of the samples, by the second
	}{
		{"all", &observerpb.GetFlowsRequest{}, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"last", &observerpb.GetFlowsRequest{Number: 3}, []int{6, 7}}, // and the lost ones
		{"first", &observerpb.GetFlowsRequest{Number: 2, First: true}, []int{0, 1}},
		{"between", &observerpb.GetFlowsRequest{Since: timestamppb.New(sampleTime.Add(time.Second)), Until: timestamppb.New(sampleTime.Add(3 * time.Second))}, []int{1, 2, 3}},
		{"filtered", &observerpb.GetFlowsRequest{Whitelist: mustLists(t, "to-port=53")}, []int{3}},
		{"last that fit", &observerpb.GetFlowsRequest{Number: 2, Whitelist: mustLists(t, "verdict=DROPPED")}, []int{5}},
	} {
		var warn bytes.Buffer
		source := Read(io.NopCloser(strings.NewReader(text)), &warn)
		var got []int
		err := source.Flows(context.Background(), c.req, func(r *observerpb.GetFlowsResponse) error {
			if r.GetFlow() != nil {
				got = append(got, int(r.GetFlow().GetTime().AsTime().Sub(sampleTime).Seconds()))
			}
			return nil
		})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
		if !strings.Contains(warn.String(), "line 2 is no flow") || !strings.Contains(warn.String(), "line 3 has fields") {
			t.Errorf("%s: warnings %q", c.name, warn.String())
		}
	}
	if err := Read(io.NopCloser(strings.NewReader("")), io.Discard).Flows(context.Background(), &observerpb.GetFlowsRequest{Number: 1 << 30}, nil); err == nil {
		t.Error("a billion last flows are kept")
	}
}

func mustLists(t *testing.T, flags ...string) (allow []*flowpb.FlowFilter) {
	t.Helper()
	allow, _, err := set(t, flags...).Lists()
	if err != nil {
		t.Fatal(err)
	}
	return allow
}

// FuzzFile reads whatever: lines that are no flows are warned of.
func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"flow":{"IP":{"source":"::1"}},"time":"2026-01-02T15:04:05Z"}` + "\n{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		source := Read(io.NopCloser(bytes.NewReader(text)), io.Discard)
		p := NewPrinter(io.Discard, io.Discard, PrintOptions{Format: Compact, Names: true, Policies: true, Zone: time.UTC})
		if err := source.Flows(context.Background(), &observerpb.GetFlowsRequest{Number: 10}, p.Print); err != nil && !strings.Contains(err.Error(), "too long") {
			t.Error(err)
		}
	})
}
