package flows

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// Source gives flows.
type Source interface {
	// Flows calls yield for each answer to the request until it fails, the context ends or there are no more.
	Flows(ctx context.Context, req *observerpb.GetFlowsRequest, yield func(*observerpb.GetFlowsResponse) error) error
	Close() error
}

// Server names a Hubble server and how to reach it.
type Server struct {
	Address string // unix:///PATH, HOST:PORT, tls://HOST:PORT
	TLS     bool
	// AllowInsecure accepts any certificate.
	AllowInsecure     bool
	CAFiles           []string // PEM; none: those of the system
	CertFile, KeyFile string   // of the client
	ServerName        string   // that the server's certificate must bear; empty: that of the address
	Timeout           time.Duration
}

// client is a Source behind gRPC.
type client struct {
	conn     *grpc.ClientConn
	server   Server
	answered bool
}

// Dial returns the flows of a server. It fails if nobody listens there.
func Dial(ctx context.Context, s Server) (Source, error) {
	target, network, address := s.target()
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	// A connection that is only tried says precisely what is wrong; gRPC's errors do not.
	probe, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, unreachable(network, address, err)
	}
	probe.Close()
	creds, err := s.credentials()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 5 * time.Minute, Timeout: 20 * time.Second}))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s.Address, err)
	}
	return &client{conn: conn, server: s}, nil
}

// target returns what gRPC calls the server, and how the net package does.
func (s Server) target() (target, network, address string) {
	if path, ok := strings.CutPrefix(s.Address, "unix://"); ok {
		return "unix:" + path, "unix", path
	}
	if strings.HasPrefix(s.Address, "/") {
		return "unix:" + s.Address, "unix", s.Address
	}
	address = strings.TrimPrefix(s.Address, "tls://")
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), "4244")
	}
	return "passthrough:///" + address, "tcp", address
}

func (s Server) credentials() (credentials.TransportCredentials, error) {
	if !s.TLS && !strings.HasPrefix(s.Address, "tls://") && s.CertFile == "" && s.KeyFile == "" && len(s.CAFiles) == 0 {
		return insecure.NewCredentials(), nil
	}
	_, network, address := s.target()
	if network == "unix" {
		return nil, errors.New("a unix socket has no TLS: leave out the --tls flags, or name a host and port with --server")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName, InsecureSkipVerify: s.AllowInsecure}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	if len(s.CAFiles) > 0 {
		config.RootCAs = x509.NewCertPool()
	}
	for _, name := range s.CAFiles {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca-cert-files: %w", err)
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--tls-ca-cert-files: %s has no certificate in PEM form", name)
		}
	}
	if (s.CertFile == "") != (s.KeyFile == "") {
		return nil, errors.New("--tls-client-cert-file and --tls-client-key-file belong together: name both")
	}
	if s.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("--tls-client-cert-file, --tls-client-key-file: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

// Flows streams the server's answers.
func (c *client) Flows(ctx context.Context, req *observerpb.GetFlowsRequest, yield func(*observerpb.GetFlowsResponse) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := observerpb.NewObserverClient(c.conn).GetFlows(ctx, req)
	if err != nil {
		return c.refusal(ctx, err)
	}
	for {
		r, err := stream.Recv()
		if err != nil {
			return c.refusal(ctx, err)
		}
		c.answered = true
		if err := yield(r); err != nil {
			return err
		}
	}
}

// Close gives up the connection.
func (c *client) Close() error { return c.conn.Close() }

// refusal explains the end of a stream; the user's own interruption and the last flow are no errors.
func (c *client) refusal(ctx context.Context, err error) error {
	if errors.Is(err, fs.ErrClosed) || ctx.Err() != nil || endOfFlows(err) {
		return nil
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unavailable:
		// Whoever refuses a client's certificate, or speaks TLS to one that does not, just hangs up.
		if _, network, _ := c.server.target(); network == "tcp" && !c.answered {
			return fmt.Errorf("ask for flows at %s: %s; does it speak TLS? Then name its authority by --tls-ca-cert-files, its name by "+
				"--tls-server-name, and if it demands one, a certificate by --tls-client-cert-file", c.server.Address, s.Message())
		}
		return fmt.Errorf("ask for flows at %s: the connection broke (%s); did the daemon stop?", c.server.Address, s.Message())
	case codes.Unimplemented:
		return fmt.Errorf("ask for flows at %s: it is no Hubble server", c.server.Address)
	case codes.ResourceExhausted:
		return fmt.Errorf("ask for flows at %s: %s; end other clients, or read faster", c.server.Address, s.Message())
	}
	return fmt.Errorf("ask for flows at %s: %s", c.server.Address, s.Message())
}

func unreachable(network, address string, err error) error {
	var op *net.OpError
	cause := err
	if errors.As(err, &op) {
		cause = op.Err
	}
	if network != "unix" {
		return fmt.Errorf("connect to %s: %w; does a daemon listen there (sluiced --hubble-listen)?", address, cause)
	}
	advice := "is sluiced running? Start it with \"systemctl start sluiced\", or name the socket of its flows with --server"
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("connect to %s: permission denied; run as root or as a member of the socket's group", address)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("connect to %s: no such socket; %s", address, advice)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("connect to %s: nobody listens; %s", address, advice)
	}
	return fmt.Errorf("connect to %s: %w", address, cause)
}
