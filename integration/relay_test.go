package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-net/sluice/integration/hosts"
	"github.com/sluice-net/sluice/internal/testutil"
)

const relayDocument = "../docs/hubble.md"

// relayAddress is where relay serves, on the first host.
const relayAddress = "10.78.0.1:4245"

// relayTime bounds what relay does at its leisure: it says that it does not serve for its first seconds.
const relayTime = 40 * time.Second

// TestPrivilegedRelay: the unmodified hubble-relay merges the flows of two daemons, with mutual TLS by the certificates of
// the document's commands; it notices that a daemon was killed, and that it is back.
func TestPrivilegedRelay(t *testing.T) {
	testutil.Privileged(t)
	r := newRelay(t)
	r.eventually("2/2 nodes", regexp.MustCompile(`Connected Nodes: 2/2`), "status")
	r.eventually("both nodes", regexp.MustCompile(`(?s)host-a +Connected.*host-b +Connected`), "list", "nodes")
	for i, h := range r.hosts {
		r.run(h, "docker", "run", "-d", "--name", fmt.Sprintf("web%d", i), "--network", "net", "probe")
		r.run(h, "docker", "exec", fmt.Sprintf("web%d", i), "probe", "ping", "10.77.0.2")
	}
	r.eventually("flows of both", regexp.MustCompile(`(?s)web0 .*ICMPv4 EchoRequest.*web1 .*ICMPv4 EchoRequest`),
		"observe", "--last", "50", "--protocol", "icmp", "--print-node-name")
	r.eventually("flows of one node", regexp.MustCompile(`"node_name":"host-b"`), "observe", "--last", "50", "--node-name", "host-b", "-o", "json")
	if out, err := r.hubble("observe", "--last", "50", "--node-name", "host-b"); err != nil || strings.Contains(out, "web0") {
		t.Errorf("flows of host-b: %v\n%s", err, out)
	}
	r.eventually("namespaces of both", regexp.MustCompile(`default`), "list", "namespaces")
	if out, err := r.client("--tls-ca-cert-files", "ca.crt", "status"); err == nil {
		t.Errorf("relay answers a client without a certificate:\n%s", out)
	}

	r.checkTokens()
	if err := r.hosts[1].StopDaemon(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.eventually("a node that is gone", regexp.MustCompile(`Connected Nodes: 1/2`), "status")
	r.eventually("flows of the other", regexp.MustCompile(`web0`), "observe", "--last", "50")
	r.startDaemon(1)
	r.run(r.hosts[1], "docker", "exec", "web1", "probe", "ping", "10.77.0.2")
	r.eventually("a node that is back", regexp.MustCompile(`Connected Nodes: 2/2`), "status")
	r.eventually("its flows", regexp.MustCompile(`web1 .*EchoRequest`), "observe", "--last", "50", "--node-name", "host-b")
}

// The tokens of both daemons: of what is in no project, and of a project that does not exist.
const (
	tokenOfDefault = "0123456789abcdef0"
	tokenOfOther   = "0123456789abcdef1"
)

// checkTokens asks the second daemon itself, with tokens instead of a certificate.
func (r *relay) checkTokens() {
	r.t.Helper()
	for token, want := range map[string]bool{tokenOfDefault: true, tokenOfOther: false} {
		out, err := r.client("--server", "tls://10.78.0.2:4244", "--tls-server-name", "host-b.default.hubble-grpc.cilium.io", "--tls-ca-cert-files", "ca.crt",
			"--basic-auth-username", "any", "--basic-auth-password", token, "observe", "--last", "50")
		if err != nil || strings.Contains(out, "web1") != want {
			r.t.Errorf("with token %s: %v\n%s", token, err, out)
		}
	}
	out, err := r.client("--server", "tls://10.78.0.2:4244", "--tls-server-name", "host-b.default.hubble-grpc.cilium.io", "--tls-ca-cert-files", "ca.crt", "observe")
	if err == nil || !strings.Contains(out, "token") {
		r.t.Errorf("without token and certificate: %v\n%s", err, out)
	}
}

// relay is two hosts with a wire between them, and hubble-relay on the first.
type relay struct {
	t      *testing.T
	dir    string // of the certificates
	hosts  []*hosts.Host
	client func(args ...string) (string, error)
}

func newRelay(t *testing.T) *relay {
	clients := map[string]string{}
	for _, name := range []string{"hubble", "hubble-relay"} {
		path, err := hosts.HubbleClient(name)
		if err != nil {
			t.Fatal(err)
		}
		clients[name] = path
	}
	r := &relay{t: t, dir: t.TempDir()}
	r.makeCertificates()
	r.makeHosts()
	serve := []string{clients["hubble-relay"], "serve", "--gops=false", "--listen-address", relayAddress, "--peer-service", "10.78.0.1:4244",
		"--retry-timeout", "2s", "--health-listen-address", "127.0.0.1:4222",
		"--tls-hubble-server-ca-files", "ca.crt", "--tls-hubble-client-cert-file", "relay.crt", "--tls-hubble-client-key-file", "relay.key",
		"--tls-relay-server-cert-file", "relay.crt", "--tls-relay-server-key-file", "relay.key", "--tls-relay-client-ca-files", "ca.crt"}
	argv := r.hosts[0].Args(r.dir, serve...)
	served := exec.Command(argv[0], argv[1:]...) // it ends with the host
	log, err := os.Create(filepath.Join(r.dir, "relay.log"))
	if err != nil {
		t.Fatal(err)
	}
	served.Stdout, served.Stderr = log, log
	if err := served.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	r.client = func(args ...string) (string, error) {
		ctx, cancel := withTimeout()
		defer cancel()
		args = append([]string{clients["hubble"], "--server", "tls://" + relayAddress, "--tls-server-name", "relay.example"}, args...)
		argv := r.hosts[0].Args(r.dir, args...)
		out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
		return string(out), err
	}
	return r
}

// makeCertificates runs the commands of the document.
func (r *relay) makeCertificates() {
	text, err := os.ReadFile(relayDocument)
	if err != nil {
		r.t.Fatal(err)
	}
	commands := regexp.MustCompile("(?s)```sh certificates\n(.*?)```").FindSubmatch(text)
	if commands == nil {
		r.t.Fatalf("%s has no block of commands that make certificates", relayDocument)
	}
	ctx, cancel := withTimeout()
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-ec", string(commands[1]))
	cmd.Dir = r.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("make certificates: %v\n%s", err, out)
	}
	tokens := tokenOfDefault + " default\n" + tokenOfOther + " other\n"
	if err := os.WriteFile(filepath.Join(r.dir, "tokens"), []byte(tokens), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// makeHosts makes two hosts with engines, daemons and a network each, and lays a wire.
func (r *relay) makeHosts() {
	suites := suites()
	engine, err := hosts.GetEngine(suites[len(suites)-1])
	if err != nil {
		r.t.Fatal(err)
	}
	bin, err := filepath.Abs("../bin")
	if err != nil {
		r.t.Fatal(err)
	}
	for range 2 {
		dir, err := os.MkdirTemp("", "sluice-")
		if err != nil {
			r.t.Fatal(err)
		}
		h, err := hosts.Up(dir, engine, bin)
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() {
			if r.t.Failed() {
				r.t.Logf("sluiced.log:\n%s", h.Log("sluiced.log"))
			}
			if err := h.Close(); err != nil {
				r.t.Error(err)
			}
		})
		r.hosts = append(r.hosts, h)
	}
	r.layWire()
	for i, h := range r.hosts {
		r.startDaemon(i)
		if err := h.StartDocker(); err != nil {
			r.t.Fatal(err)
		}
		ctx, cancel := withTimeout()
		err := h.LoadImage(ctx)
		cancel()
		if err != nil {
			r.t.Fatal(err)
		}
		r.run(h, "docker", "network", "create", "-d", "sluice", "--subnet", fmt.Sprintf("10.9%d.0.0/24", i), "net")
	}
}

// layWire connects the hosts by a pair of interfaces with addresses 10.78.0.1 and .2.
func (r *relay) layWire() {
	a, b := r.hosts[0], r.hosts[1]
	script := fmt.Sprintf(`
		ip link add relay0 netns %[1]d type veth peer name relay0 netns %[2]d
		nsenter -t %[1]d -n ip addr add 10.78.0.1/24 dev relay0
		nsenter -t %[2]d -n ip addr add 10.78.0.2/24 dev relay0
		nsenter -t %[1]d -n ip link set relay0 up
		nsenter -t %[2]d -n ip link set relay0 up`, a.PID(), b.PID())
	ctx, cancel := withTimeout()
	defer cancel()
	if out, err := exec.CommandContext(ctx, "sh", "-ec", script).CombinedOutput(); err != nil {
		r.t.Fatalf("lay a wire between the hosts: %v\n%s", err, out)
	}
}

func (r *relay) startDaemon(i int) {
	file := func(name string) string { return filepath.Join(r.dir, name) }
	err := r.hosts[i].StartDaemon("--node-name", fmt.Sprintf("host-%c", 'a'+i), "--hubble-listen", "0.0.0.0:4244",
		"--hubble-tls-cert", file("node.crt"), "--hubble-tls-key", file("node.key"), "--hubble-tls-client-ca", file("ca.crt"),
		"--hubble-tokens", file("tokens"), "--hubble-peers", "host-a=10.78.0.1:4244,host-b=10.78.0.2:4244")
	if err != nil {
		r.t.Fatal(err)
	}
}

// run runs a command in a host, which has to succeed within a while: networks need some time.
func (r *relay) run(h *hosts.Host, argv ...string) {
	r.t.Helper()
	ctx, cancel := withTimeout()
	defer cancel()
	err := hosts.Poll(settleTime, func() error {
		out, err := h.Output(ctx, argv...)
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// hubble asks relay as a client that has a certificate.
func (r *relay) hubble(args ...string) (string, error) {
	return r.client(append([]string{"--tls-ca-cert-files", "ca.crt", "--tls-client-cert-file", "client.crt", "--tls-client-key-file", "client.key"}, args...)...)
}

// eventually asks relay until it answers as expected.
func (r *relay) eventually(what string, want *regexp.Regexp, args ...string) {
	r.t.Helper()
	err := hosts.Poll(relayTime, func() error {
		out, err := r.hubble(args...)
		if err == nil && want.MatchString(out) {
			return nil
		}
		return fmt.Errorf("hubble %s: %w\n%s", strings.Join(args, " "), err, out)
	})
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(r.dir, "relay.log"))
		r.t.Fatalf("%s: %v\nrelay.log:\n%s", what, err, log)
	}
}
