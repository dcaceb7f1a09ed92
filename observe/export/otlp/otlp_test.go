package otlp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/observe/export/sink"
	"github.com/sluice-net/sluice/observe/export/sinktest"
)

// protocols are both ways to a collector.
var protocols = map[string]struct {
	serve func(t *testing.T, address string, secure *tls.Config) *collector
	path  string
}{protocolGRPC: {serveGRPC, ""}, protocolHTTP: {serveHTTP, "/otlp"}}

func newSink(t *testing.T, c Config) *Sink {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	s, err := New(c, "node-1", "0.4.0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// each runs a test for both protocols, without TLS.
func each(t *testing.T, test func(t *testing.T, c *collector, config Config)) {
	for name, p := range protocols {
		t.Run(name, func(t *testing.T) {
			c := p.serve(t, "127.0.0.1:0", nil)
			test(t, c, Config{Protocol: name, Endpoint: "http://" + c.address + p.path})
		})
	}
}

func TestSend(t *testing.T) {
	each(t, func(t *testing.T, c *collector, config Config) {
		for _, compression := range []string{compressionGzip, compressionNone} {
			before, beforeSpans := c.took()
			config.Compression = compression
			config.Headers = map[string]string{"Authorization": "Bearer x", "x-tenant": "shop"}
			config.Resource = map[string]string{"deployment.environment.name": "lab"}
			s := newSink(t, config)
			records := append(sinktest.Records(10), sinktest.Record(sinktest.Lost(7)))
			if r := s.Send(t.Context(), records); r.Sent != 11 || r.Refused != 0 || r.Err != nil {
				t.Fatalf("%+v", r)
			}
			logs, spans := c.took()
			if len(logs)-len(before) != 11 || len(spans)-len(beforeSpans) != 5 { // every other record closes a connection
				t.Errorf("%d log records, %d spans", len(logs)-len(before), len(spans)-len(beforeSpans))
			}
			if c.headers["authorization"] != "Bearer x" || c.headers["x-tenant"] != "shop" {
				t.Errorf("headers %v", c.headers)
			}
			if config.Protocol == protocolHTTP && (c.encoding == "gzip") != (compression == compressionGzip) {
				t.Errorf("compression %s: encoding %q", compression, c.encoding)
			}
			got := map[string]string{}
			for _, a := range c.resource.GetAttributes() {
				got[a.GetKey()] = a.GetValue().GetStringValue()
			}
			if got["service.name"] != "sluiced" || got["host.name"] != "node-1" || got["deployment.environment.name"] != "lab" {
				t.Errorf("resource %v", got)
			}
		}
	})
}

func TestSendOneKind(t *testing.T) {
	no := false
	each(t, func(t *testing.T, c *collector, config Config) {
		config.Logs = &no
		if r := newSink(t, config).Send(t.Context(), sinktest.Records(4)); r.Sent != 4 || r.Err != nil {
			t.Errorf("%+v", r)
		}
		if logs, spans := c.took(); len(logs) != 0 || len(spans) != 2 {
			t.Errorf("spans only: %d log records, %d spans", len(logs), len(spans))
		}
		config.Logs, config.Spans = nil, &no
		if r := newSink(t, config).Send(t.Context(), sinktest.Records(4)); r.Sent != 4 || r.Err != nil {
			t.Errorf("%+v", r)
		}
		if logs, spans := c.took(); len(logs) != 4 || len(spans) != 2 {
			t.Errorf("log records only: %d, %d spans", len(logs), len(spans))
		}
	})
}

func TestTLS(t *testing.T) {
	authority, other := testutil.NewAuthority(t), testutil.NewAuthority(t)
	cert, key := authority.Issue("client")
	for name, p := range protocols {
		for _, c := range []struct {
			what   string
			mutual bool
			tls    *sink.TLS
			want   string // of the error
		}{
			{"one side", false, &sink.TLS{CA: authority.CA}, ""},
			{"both sides", true, &sink.TLS{CA: authority.CA, Cert: cert, Key: key}, ""},
			{"another name", false, &sink.TLS{CA: authority.CA, ServerName: "collector"}, "collector"},
			{"not checked", false, &sink.TLS{Insecure: true}, ""},
			{"unknown authority", false, &sink.TLS{CA: other.CA}, "unknown authority"},
			{"the system's authorities", false, nil, "unknown authority"},
			{"no certificate", true, &sink.TLS{CA: authority.CA}, "certificate required"},
		} {
			t.Run(name+", "+c.what, func(t *testing.T) {
				server := p.serve(t, "127.0.0.1:0", authority.Server("127.0.0.1", c.mutual))
				s := newSink(t, Config{Protocol: name, Endpoint: "https://" + server.address + p.path, TLS: c.tls, Timeout: sink.Duration(5 * time.Second)})
				r := s.Send(t.Context(), sinktest.Records(2))
				switch {
				case c.want == "" && (r.Err != nil || r.Sent != 2):
					t.Errorf("%+v", r)
				case c.want != "" && (r.Err == nil || r.Sent+r.Refused > 0 || !strings.Contains(r.Err.Error(), c.want) && name == protocolHTTP):
					t.Errorf("%+v, want %q", r, c.want)
				}
			})
		}
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		what          string
		next          []answer // to the spans, then to the logs
		sent, refused int
		again         bool
		wait          time.Duration
	}{
		{"unavailable", []answer{{status: codes.Unavailable, http: http.StatusServiceUnavailable, retry: 3 * time.Second}}, 0, 0, true, 3 * time.Second},
		{"busy at the logs", []answer{{}, {status: codes.ResourceExhausted, http: http.StatusTooManyRequests, retry: 2 * time.Second}}, 0, 0, true, 2 * time.Second},
		{"access denied", []answer{{status: codes.Unauthenticated, http: http.StatusUnauthorized}}, 0, 0, true, 0},
		{"gateway", []answer{{status: codes.Aborted, http: http.StatusBadGateway}}, 0, 0, true, 0},
		{"redirect", []answer{{status: codes.Unimplemented, http: http.StatusFound}}, 0, 0, true, 0},
		{"logs refused", []answer{{}, {status: codes.InvalidArgument, http: http.StatusBadRequest}}, 0, 4, false, 0},
		{"spans refused", []answer{{status: codes.InvalidArgument, http: http.StatusBadRequest}}, 2, 2, false, 0},
		{"one log record rejected", []answer{{}, {rejected: 1}}, 3, 1, false, 0},
		{"one span rejected", []answer{{rejected: 1}}, 3, 1, false, 0},
		{"no answer", []answer{{hang: true}}, 0, 0, true, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			each(t, func(t *testing.T, server *collector, config Config) {
				config.Timeout = sink.Duration(20 * time.Second)
				if c.next[0].hang {
					config.Timeout = sink.Duration(time.Second)
				}
				s := newSink(t, config)
				server.next = c.next
				r := s.Send(t.Context(), sinktest.Records(4))
				if r.Sent != c.sent || r.Refused != c.refused || r.Err == nil || r.Wait != c.wait || errors.Is(r.Err, sink.ErrRefused) == c.again {
					t.Fatalf("%+v", r)
				}
				if strings.ContainsRune(r.Err.Error(), '\n') {
					t.Errorf("error of several lines: %v", r.Err)
				}
				if !c.again {
					return
				}
				if r = s.Send(t.Context(), sinktest.Records(4)); r.Sent != 4 || r.Err != nil {
					t.Fatalf("again: %+v", r)
				}
				if logs, spans := server.took(); len(logs) != 4 || len(spans) != 2 {
					t.Errorf("again: %d log records, %d spans", len(logs), len(spans))
				}
			})
		})
	}
}

// TestTooLarge: a batch that is too large is sent in parts; what is too large alone is refused.
func TestTooLarge(t *testing.T) {
	each(t, func(t *testing.T, c *collector, config Config) {
		c.always = answer{limit: 3}
		s := newSink(t, config)
		if r := s.Send(t.Context(), sinktest.Records(16)); r.Sent != 16 || r.Err != nil {
			t.Fatalf("%+v", r)
		}
		if logs, spans := c.took(); len(logs) != 16 || len(spans) != 8 {
			t.Errorf("%d log records, %d spans", len(logs), len(spans))
		}
		c.mu.Lock()
		c.always = answer{status: codes.ResourceExhausted, http: http.StatusRequestEntityTooLarge}
		c.mu.Unlock()
		if r := s.Send(t.Context(), sinktest.Records(3)); r.Sent != 0 || r.Refused != 3 || !errors.Is(r.Err, sink.ErrRefused) {
			t.Errorf("nothing is small enough: %+v", r)
		}
	})
}

// TestCollectorRestarts: it is away, comes back at the same address, and is found.
func TestCollectorRestarts(t *testing.T) {
	for name, p := range protocols {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := l.Addr().String()
			_ = l.Close()
			s := newSink(t, Config{Protocol: name, Endpoint: "http://" + address + p.path, Timeout: sink.Duration(2 * time.Second)})
			if r := s.Send(t.Context(), sinktest.Records(2)); r.Err == nil || r.Sent+r.Refused > 0 || errors.Is(r.Err, sink.ErrRefused) {
				t.Fatalf("nobody listens: %+v", r)
			}
			c := p.serve(t, address, nil)
			deadline := time.Now().Add(20 * time.Second)
			for r := (sink.Result{}); r.Sent != 2; r = s.Send(t.Context(), sinktest.Records(2)) {
				if time.Now().After(deadline) {
					t.Fatalf("not found: %+v", r)
				}
			}
			if logs, _ := c.took(); len(logs) != 2 {
				t.Errorf("%d log records", len(logs))
			}
		})
	}
}

func TestSendEnds(t *testing.T) {
	each(t, func(t *testing.T, c *collector, config Config) {
		c.always = answer{hang: true}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if r := newSink(t, config).Send(ctx, sinktest.Records(2)); r.Err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("after %v: %+v", time.Since(start), r)
		}
	})
}

func TestCheck(t *testing.T) {
	no := false
	for want, c := range map[string]Config{
		`begins with none of http://`:                   {Endpoint: "collector:4317"},
		`"http://" names no host`:                       {Endpoint: "http://"},
		`secrets go into headers`:                       {Endpoint: "http://user:secret@h"},
		`gRPC has no path`:                              {Endpoint: "http://h:4317/otlp"},
		`a socket has an absolute path and speaks grpc`: {Endpoint: "unix:///run/x", Protocol: protocolHTTP},
		`protocol: "udp" is none of [grpc http]`:        {Endpoint: "http://h", Protocol: "udp"},
		`compression: "zstd" is none of [gzip none]`:    {Endpoint: "http://h", Compression: "zstd"},
		`tls: the endpoint must begin with https://`:    {Endpoint: "http://h", TLS: &sink.TLS{}},
		`tls: cert and key belong together`:             {Endpoint: "https://h", TLS: &sink.TLS{Key: "/k"}},
		`logs, spans: one of them must be sent`:         {Endpoint: "http://h", Logs: &no, Spans: &no},
		`headers: "a b" is not a header`:                {Endpoint: "http://h", Headers: map[string]string{"a b": "c"}},
		`headers: "x" is not a header`:                  {Endpoint: "http://h", Headers: map[string]string{"x": "a\nb"}},
		`headers: "grpc-timeout" is not a header`:       {Endpoint: "http://h", Headers: map[string]string{"grpc-timeout": "1"}},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	for want, c := range map[string]Config{
		"h:4317": {Endpoint: "http://h"}, "h:4318": {Endpoint: "https://h/otlp/", Protocol: protocolHTTP}, "[fd00::1]:9": {Endpoint: "http://[fd00::1]:9"}, "/run/x": {Endpoint: "unix:///run/x"},
	} {
		if e, err := c.endpoint(); err != nil || c.Check() != nil || e.target != want {
			t.Errorf("%+v: %+v, %v", c, e, err)
		}
	}
}
