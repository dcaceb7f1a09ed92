package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// DefaultSocket is where the daemon listens unless it is told otherwise.
const DefaultSocket = "/run/sluice/sluice.sock"

// maxAnswer bounds what the client reads of one answer that is not a stream, bytes.
const maxAnswer = 256 << 20

// Client talks to a daemon. It is safe for concurrent use. Every error that it returns wraps an *Error, except those
// of the caller's context.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of the daemon behind the unix socket. It connects with the first request.
func NewClient(socket string) *Client {
	if socket == "" {
		socket = DefaultSocket
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		DisableCompression: true,
		MaxIdleConns:       4,
		IdleConnTimeout:    30 * time.Second,
	}}}
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Version returns the daemon's version.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return get[Version](ctx, c, "/v1/version", nil)
}

// Status returns how the daemon is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/v1/status", nil)
}

// Networks returns the networks that the names, ids or prefixes mean, all if there are none.
func (c *Client) Networks(ctx context.Context, refs ...string) ([]Network, error) {
	return get[[]Network](ctx, c, "/v1/networks", refQuery(refs))
}

// Endpoints returns the endpoints that the references mean, all if there are none.
func (c *Client) Endpoints(ctx context.Context, refs ...string) ([]Endpoint, error) {
	return get[[]Endpoint](ctx, c, "/v1/endpoints", refQuery(refs))
}

// Label changes live labels.
func (c *Client) Label(ctx context.Context, r LabelRequest) (Change, error) {
	return post[Change](ctx, c, "/v1/endpoints/label", r)
}

// Regenerate makes programs anew and returns when that is done.
func (c *Client) Regenerate(ctx context.Context, r RegenerateRequest) ([]Regeneration, error) {
	return post[[]Regeneration](ctx, c, "/v1/endpoints/regenerate", r)
}

// Identities returns the identities that the numbers, names or endpoints mean, all if there are none.
func (c *Client) Identities(ctx context.Context, refs ...string) ([]Identity, error) {
	return get[[]Identity](ctx, c, "/v1/identities", refQuery(refs))
}

// Policies returns the documents of the names, all if there are none.
func (c *Client) Policies(ctx context.Context, names ...string) ([]Policy, error) {
	return get[[]Policy](ctx, c, "/v1/policies", refQuery(names))
}

// PolicyFiles returns the files of the policy directory.
func (c *Client) PolicyFiles(ctx context.Context) ([]PolicyFile, error) {
	return get[[]PolicyFile](ctx, c, "/v1/policies/files", nil)
}

// ApplyPolicies stores documents, all or none.
func (c *Client) ApplyPolicies(ctx context.Context, r ApplyRequest) (Change, error) {
	return post[Change](ctx, c, "/v1/policies", r)
}

// ValidatePolicies asks whether ApplyPolicies would accept the documents.
func (c *Client) ValidatePolicies(ctx context.Context, sources []PolicySource) ([]PolicyResult, error) {
	return post[[]PolicyResult](ctx, c, "/v1/policies/validate", ApplyRequest{Sources: sources})
}

// DeletePolicies deletes documents, all or none.
func (c *Client) DeletePolicies(ctx context.Context, r DeleteRequest) (Change, error) {
	return post[Change](ctx, c, "/v1/policies/delete", r)
}

// Explain asks whether one end may open a connection to another, and why.
func (c *Client) Explain(ctx context.Context, r ExplainRequest) (Explanation, error) {
	return post[Explanation](ctx, c, "/v1/policy/explain", r)
}

// DiffPolicies asks what documents would change if they were applied.
func (c *Client) DiffPolicies(ctx context.Context, sources []PolicySource) (PolicyDiff, error) {
	return post[PolicyDiff](ctx, c, "/v1/policy/diff", ApplyRequest{Sources: sources})
}

// Exposed returns every way into the containers.
func (c *Client) Exposed(ctx context.Context, r ExposedRequest) ([]Exposure, error) {
	return post[[]Exposure](ctx, c, "/v1/policy/exposed", r)
}

// Graph returns who may open what to whom, of the endpoints if some are named.
func (c *Client) Graph(ctx context.Context, refs ...string) ([]Edge, error) {
	return get[[]Edge](ctx, c, "/v1/policy/graph", refQuery(refs))
}

// Learn returns the policy that covers what a container was seen to do.
func (c *Client) Learn(ctx context.Context, r LearnRequest) (Learned, error) {
	return post[Learned](ctx, c, "/v1/policy/learn", r)
}

// Ports returns the published ports, of the endpoints if some are named.
func (c *Client) Ports(ctx context.Context, refs ...string) ([]Port, error) {
	return get[[]Port](ctx, c, "/v1/ports", refQuery(refs))
}

// Connections calls yield for each entry of the kernel's flow tables until it fails, of the endpoints if some are
// named.
func (c *Client) Connections(ctx context.Context, refs []string, yield func(Connection) error) error {
	return stream(ctx, c, http.MethodGet, "/v1/bpf/conntrack", refQuery(refs), nil, yield)
}

// Addresses returns the kernel's table of addresses.
func (c *Client) Addresses(ctx context.Context) ([]AddressEntry, error) {
	return get[[]AddressEntry](ctx, c, "/v1/bpf/endpoints", nil)
}

// PolicyEntries returns the compiled verdict tables, of the endpoints if some are named.
func (c *Client) PolicyEntries(ctx context.Context, refs ...string) ([]PolicyEntry, error) {
	return get[[]PolicyEntry](ctx, c, "/v1/bpf/policy", refQuery(refs))
}

// Metrics returns the kernel's counters.
func (c *Client) Metrics(ctx context.Context) ([]Metric, error) {
	return get[[]Metric](ctx, c, "/v1/bpf/metrics", nil)
}

// Events calls yield for each event that passes the filter until it fails or the context ends.
func (c *Client) Events(ctx context.Context, filter EventFilter, yield func(Event) error) error {
	return stream(ctx, c, http.MethodPost, "/v1/events", nil, filter, yield)
}

// Capture calls yield for each packet until it fails or the context ends. The capture ends with it.
func (c *Client) Capture(ctx context.Context, r CaptureRequest, yield func(Captured) error) error {
	return stream(ctx, c, http.MethodPost, "/v1/capture", nil, r, yield)
}

// Traffic calls yield for each sample until the request's count is reached, it fails or the context ends.
func (c *Client) Traffic(ctx context.Context, r TrafficRequest, yield func(Traffic) error) error {
	return stream(ctx, c, http.MethodPost, "/v1/traffic", nil, r, yield)
}

// LogLevel returns the daemon's log level.
func (c *Client) LogLevel(ctx context.Context) (string, error) {
	l, err := get[LogLevel](ctx, c, "/v1/log/level", nil)
	return l.Level, err
}

// SetLogLevel changes the daemon's log level.
func (c *Client) SetLogLevel(ctx context.Context, level string) error {
	_, err := post[LogLevel](ctx, c, "/v1/log/level", LogLevel{Level: level})
	return err
}

func refQuery(refs []string) url.Values { return url.Values{"ref": refs} }

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return answer[T](c.do(ctx, http.MethodGet, path, query, nil))
}

func post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	return answer[T](c.do(ctx, http.MethodPost, path, nil, body))
}

// answer decodes one JSON document.
func answer[T any](resp *http.Response, err error) (T, error) {
	var v T
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&v); err != nil {
		return v, Errorf(CodeUnavailable, "read the daemon's answer: %v", err)
	}
	return v, nil
}

// stream reads JSON lines. The end of the caller's context is no error.
func stream[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any,
	yield func(T) error) error {
	resp, err := c.do(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var line Line[T]
		if err := dec.Decode(&line); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return Errorf(CodeUnavailable, "read the daemon's stream: %v", cut(err))
		}
		switch {
		case line.Error != nil:
			return line.Error
		case line.End:
			return nil
		case line.Item != nil:
			if err := yield(*line.Item); err != nil {
				return err
			}
		}
	}
}

// cut explains a stream that ended without its end line.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ended early; did the daemon stop?")
	}
	return err
}

// do sends a request and returns an answer of status 200, whose body the caller closes.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, Errorf(CodeInvalid, "encode request: %v", err)
		}
		r = bytes.NewReader(b)
	}
	u := url.URL{Scheme: "http", Host: "sluiced", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), r)
	if err != nil {
		return nil, Errorf(CodeInvalid, "build request: %v", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("ask the daemon: %w", ctx.Err())
		}
		return nil, c.unreachable(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// refusal reads the error of an answer.
func refusal(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var e Error
	if err := json.Unmarshal(b, &e); err != nil || e.Code == "" {
		return Errorf(CodeInternal, "ask the daemon: it answered %s; is it of another version?", resp.Status)
	}
	return &e
}

// unreachable says what to do when no daemon answers.
func (c *Client) unreachable(err error) error { return Unreachable(c.socket, err) }

// Unreachable explains why a daemon's socket could not be used, and what to do about it.
func Unreachable(socket string, err error) error {
	cause := err
	var u *url.Error
	if errors.As(err, &u) {
		cause = u.Err
	}
	advice := "is sluiced running? Start it with \"systemctl start sluiced\", or name its socket with --socket or SLUICE_SOCKET"
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Errorf(CodeUnavailable, "connect to the daemon at %s: permission denied; run as root or as a member of the socket's group", socket)
	case errors.Is(err, fs.ErrNotExist):
		return Errorf(CodeUnavailable, "connect to the daemon at %s: no such socket; %s", socket, advice)
	case errors.Is(err, syscall.ECONNREFUSED):
		return Errorf(CodeUnavailable, "connect to the daemon at %s: nobody listens; %s", socket, advice)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return Errorf(CodeUnavailable, "ask the daemon at %s: it hung up; see its log", socket)
	}
	return Errorf(CodeUnavailable, "ask the daemon at %s: %v", socket, cause)
}
