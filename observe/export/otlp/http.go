package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// longestAnswer bounds what is read of a collector's answer, bytes.
const longestAnswer = 64 << 10

const contentType = "application/x-protobuf"

// httpCarrier carries OTLP over HTTP, as protobuf.
type httpCarrier struct {
	client  *http.Client
	base    string
	headers http.Header
	gzip    bool
}

func newHTTP(c *Config, agent string) (*httpCarrier, error) {
	e, err := c.endpoint()
	if err != nil {
		return nil, err
	}
	h := &httpCarrier{base: "http://" + e.target + e.path, headers: http.Header{}, gzip: c.compress()}
	h.headers.Set("User-Agent", agent)
	for name, value := range c.Headers {
		h.headers.Set(name, value)
	}
	h.headers.Set("Content-Type", contentType)
	if h.gzip {
		h.headers.Set("Content-Encoding", "gzip")
	}
	dialer := &net.Dialer{Timeout: c.timeout()}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second,
	}
	if e.secure {
		h.base = "https://" + e.target + e.path
		// The files are read for every connection. With this function, HTTP/1.1 is what is spoken.
		transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			config, err := c.TLS.Client(e.host)
			if err != nil {
				return nil, err
			}
			return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, network, addr)
		}
	}
	// An answer that points elsewhere is a fault of the settings: following it would lose the body.
	h.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return h, nil
}

func (h *httpCarrier) logs(ctx context.Context, r *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	answer := &collogs.ExportLogsServiceResponse{}
	return answer, h.post(ctx, "logs", r, answer)
}

func (h *httpCarrier) spans(ctx context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	answer := &coltrace.ExportTraceServiceResponse{}
	return answer, h.post(ctx, "traces", r, answer)
}

func (h *httpCarrier) close() error {
	h.client.CloseIdleConnections()
	return nil
}

// post sends one request and reads its answer.
func (h *httpCarrier) post(ctx context.Context, what string, request, answer proto.Message) error {
	body, err := h.body(request)
	if err != nil {
		return &failure{err: fmt.Errorf("encode %s: %w", what, err), refused: true}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.base+"/v1/"+what, bytes.NewReader(body))
	if err != nil {
		return &failure{err: fmt.Errorf("send %s: %w", what, err), refused: true}
	}
	r.Header = h.headers.Clone()
	got, err := h.client.Do(r)
	if err != nil {
		return &failure{err: fmt.Errorf("send %s: %w", what, err)}
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, longestAnswer))
	if got.StatusCode/100 != 2 {
		return httpFailure(what, got, text)
	}
	// It was taken, whatever the answer looks like: only protobuf can tell of a part that was not.
	if err == nil && strings.HasPrefix(got.Header.Get("Content-Type"), contentType) {
		_ = proto.Unmarshal(text, answer)
	}
	return nil
}

func (h *httpCarrier) body(request proto.Message) ([]byte, error) {
	plain, err := proto.Marshal(request)
	if err != nil || !h.gzip {
		return plain, err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

// httpFailure says what an answer means (OTLP's specification, "Failures"). As with gRPC, faults of access are tried again.
func httpFailure(what string, got *http.Response, text []byte) error {
	f := &failure{err: fmt.Errorf("send %s: %s: %s", what, got.Status, excerpt(text))}
	switch got.StatusCode {
	case http.StatusRequestEntityTooLarge:
		f.tooLarge = true
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusUnsupportedMediaType:
		f.refused = true
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if seconds, err := strconv.ParseUint(got.Header.Get("Retry-After"), 10, 16); err == nil {
			f.wait = time.Duration(seconds) * time.Second
		}
	}
	return f
}

// excerpt makes an answer's text fit for one line.
func excerpt(text []byte) string {
	s := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(text), "?"), func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	if s == "" {
		s = "without a text"
	}
	return s
}
