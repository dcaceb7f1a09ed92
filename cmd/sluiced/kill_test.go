package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/store/bolt"
)

func TestMain(m *testing.M) { os.Exit(netns.Isolated(m.Run)) }

// killsEnv is how often TestPrivilegedKills kills; a hundred takes a few minutes.
const killsEnv = "SLUICE_KILLS"

// host is a daemon of the test's own, with its engine.
type host struct {
	t       *testing.T
	dir     string
	cgroup  string
	engine  *fakeEngine
	binary  string
	daemon  *exec.Cmd
	output  bytes.Buffer
	control *api.Client
	held    map[string]netip.Prefix // addresses by endpoint id
	dual    bool                    // its network has IPv6 too
	held6   map[string]netip.Prefix // likewise, if it has
	options []string                // more options of the daemon
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "kill")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &host{t: t, dir: dir, cgroup: cgroup(t), binary: filepath.Join(t.TempDir(), "sluiced"),
		held: map[string]netip.Prefix{}, held6: map[string]netip.Prefix{}}
	build := exec.Command("go", "build", "-o", h.binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build daemon: %v\n%s", err, out)
	}
	if err := os.MkdirAll(dir+"/plugins", 0o755); err != nil {
		t.Fatal(err)
	}
	h.engine = newFakeEngine(t, dir+"/docker.sock", dir+"/plugins/sluice.sock")
	h.control = api.NewClient(dir + "/run/sluice.sock")
	t.Cleanup(h.control.Close)
	return h
}

// command is a daemon on the host's directories.
func (h *host) command() *exec.Cmd {
	h.t.Helper()
	cmd := exec.Command(h.binary, "--run-dir", h.dir+"/run", "--plugin-dir", h.dir+"/plugins", "--state-dir", h.dir+"/state", "--policy-dir", h.dir+"/policy.d",
		"--pin-dir", netns.BPFDir+"/kill", "--docker", "unix://"+h.dir+"/docker.sock", "--link-prefix", "slk", "--flows", "1024",
		"--slots", "64", "--pool", "1", "--cgroup", h.cgroup)
	cmd.Args = append(cmd.Args, h.options...)
	return cmd
}

// start starts the daemon and waits until it serves.
func (h *host) start() {
	h.t.Helper()
	h.output.Reset()
	h.daemon = h.command()
	h.daemon.Stdout, h.daemon.Stderr = &h.output, &h.output
	if err := h.daemon.Start(); err != nil {
		h.t.Fatal(err)
	}
	daemon := h.daemon
	h.t.Cleanup(func() { _ = daemon.Process.Kill() })
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	for {
		if _, err := h.control.Version(ctx); err == nil {
			return
		}
		if ctx.Err() != nil {
			h.t.Fatalf("the daemon does not serve:\n%s", &h.output)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// end signals the daemon and waits for its end.
func (h *host) end(s syscall.Signal) {
	h.t.Helper()
	if err := h.daemon.Process.Signal(s); err != nil {
		h.t.Fatal(err)
	}
	err := h.daemon.Wait()
	if s == syscall.SIGTERM && err != nil {
		h.t.Errorf("the daemon stopped with %v:\n%s", err, &h.output)
	}
}

// cgroup makes a control group that the socket hooks are attached to, for this test alone.
func cgroup(t *testing.T) string {
	t.Helper()
	const name = "sluice-kill-test"
	for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(root + "/cgroup.controllers"); err != nil {
			continue
		}
		dir := filepath.Join(root, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(dir) })
		return dir
	}
	t.Fatal("no control groups of version 2")
	return ""
}

const (
	networkID = "aa00000000000000000000000000000000000000000000000000000000000001"
	poolCIDR  = "10.66.0.0/24"
	pool6CIDR = "fd66::/64"
)

// pools are those of the test's network.
func (h *host) pools() []string {
	if h.dual {
		return []string{poolCIDR, pool6CIDR}
	}
	return []string{poolCIDR}
}

func (h *host) makeNetwork() {
	h.t.Helper()
	data := map[string][]any{}
	for i, cidr := range h.pools() {
		pool := h.engine.insist("IpamDriver.RequestPool", map[string]any{"AddressSpace": "SluiceLocal", "Pool": cidr, "V6": i == 1})
		gateway := h.engine.insist("IpamDriver.RequestAddress", map[string]any{"PoolID": pool.PoolID,
			"Options": map[string]string{"RequestAddressType": "com.docker.network.gateway"}})
		family := []string{"IPv4Data", "IPv6Data"}[i]
		data[family] = []any{map[string]any{"AddressSpace": "SluiceLocal", "Pool": pool.Pool, "Gateway": gateway.Address}}
		[]map[string]netip.Prefix{h.held, h.held6}[i]["gateway"] = netip.MustParsePrefix(gateway.Address)
	}
	h.engine.insist("NetworkDriver.CreateNetwork", map[string]any{"NetworkID": networkID, "Options": map[string]any{},
		"IPv4Data": data["IPv4Data"], "IPv6Data": data["IPv6Data"]})
	h.engine.mu.Lock()
	h.engine.network = networkID
	h.engine.mu.Unlock()
}

func (h *host) removeNetwork() {
	h.t.Helper()
	for i, cidr := range h.pools() {
		gateway := []map[string]netip.Prefix{h.held, h.held6}[i]["gateway"]
		h.engine.insist("IpamDriver.ReleaseAddress", map[string]any{"PoolID": cidr, "Address": gateway.Addr().String()})
		h.engine.insist("IpamDriver.ReleasePool", map[string]any{"PoolID": cidr})
	}
	h.engine.insist("NetworkDriver.DeleteNetwork", map[string]any{"NetworkID": networkID})
	h.engine.mu.Lock()
	h.engine.network = ""
	h.engine.mu.Unlock()
}

// of returns the members of a request that names an endpoint.
func of(endpoint string, more map[string]any) map[string]any {
	request := map[string]any{"NetworkID": networkID, "EndpointID": endpoint}
	for k, v := range more {
		request[k] = v
	}
	return request
}

// attach makes an endpoint and joins it, as far as the daemon lives. An address that is in use must not come.
func (h *host) attach(endpoint, name string) (a answer, err error) {
	if a, err = h.engine.call("IpamDriver.RequestAddress", map[string]any{"PoolID": poolCIDR}); err != nil {
		return a, err
	}
	address := netip.MustParsePrefix(a.Address)
	for other, p := range h.held {
		if p == address {
			h.t.Errorf("address %s was given to %s and to %s", address, other, name)
		}
	}
	h.held[endpoint] = address
	device := map[string]string{"Address": a.Address}
	if h.dual {
		if a, err = h.engine.call("IpamDriver.RequestAddress", map[string]any{"PoolID": pool6CIDR}); err != nil {
			return a, err
		}
		h.held6[endpoint] = netip.MustParsePrefix(a.Address)
		device["AddressIPv6"] = a.Address
	}
	_, err = h.engine.call("NetworkDriver.CreateEndpoint", of(endpoint, map[string]any{"Interface": device}))
	if err != nil {
		return a, err
	}
	h.engine.list(endpoint, name)
	if a, err = h.engine.call("NetworkDriver.Join", of(endpoint, map[string]any{"SandboxKey": "/run/docker/netns/" + endpoint})); err != nil {
		return a, err
	}
	_, err = h.engine.call("NetworkDriver.ProgramExternalConnectivity", of(endpoint, map[string]any{"Options": map[string]any{
		"com.docker.network.portmap": []any{map[string]any{"Proto": 6, "Port": 80, "HostPort": 0, "HostPortEnd": 0}}}}))
	return a, err
}

// detach does what Docker does when a container ends, also if its start failed half-way.
func (h *host) detach(endpoint string, call func(method string, request any) error) error {
	h.engine.list(endpoint, "")
	for _, method := range []string{"RevokeExternalConnectivity", "Leave", "DeleteEndpoint"} {
		if err := call("NetworkDriver."+method, of(endpoint, nil)); err != nil {
			return err
		}
	}
	address, ok := h.held[endpoint]
	if !ok {
		return nil
	}
	if err := call("IpamDriver.ReleaseAddress", map[string]any{"PoolID": poolCIDR, "Address": address.Addr().String()}); err != nil {
		return err
	}
	delete(h.held, endpoint)
	if address, ok = h.held6[endpoint]; !ok {
		return nil
	}
	delete(h.held6, endpoint)
	return call("IpamDriver.ReleaseAddress", map[string]any{"PoolID": pool6CIDR, "Address": address.Addr().String()})
}

func (h *host) insist(method string, request any) error { h.engine.insist(method, request); return nil }

func (h *host) once(method string, request any) error {
	_, err := h.engine.call(method, request)
	return err
}

// churn lets containers come and go and a policy change until the daemon is killed. It returns the endpoint that was
// under way, and what failed.
func (h *host) churn(round int) (endpoint string, err error) {
	for i := 0; ; i++ {
		endpoint = fmt.Sprintf("ee%030x%032x", 100+round, i)
		if _, err = h.attach(endpoint, fmt.Sprintf("temp-%d", round)); err == nil {
			if err = h.apply(h.t.Context(), round+i); err == nil {
				err = h.detach(endpoint, h.once)
			}
		}
		if err != nil {
			return endpoint, err
		}
	}
}

// apply changes the policy of the server; its client stays allowed.
func (h *host) apply(ctx context.Context, round int) error {
	text := fmt.Sprintf(`apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: server}
spec:
  endpointSelector: {matchLabels: {app: server}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: "7000", protocol: TCP}]}]
  - fromEndpoints: [{matchLabels: {app: temp}}]
    toPorts: [{ports: [{port: "%d", protocol: TCP}]}]
`, 8000+round)
	_, err := h.control.ApplyPolicies(ctx, api.ApplyRequest{
		Sources: []api.PolicySource{{Source: "kill.yaml", Text: text}}, Waiting: api.Waiting{Wait: true}})
	return err
}

// TestPrivilegedKills kills the daemon at random moments while containers come and go and policies change, and a TCP
// transfer between two containers goes on. The transfer never breaks, no address is given twice, and nothing is left.
func TestPrivilegedKills(t *testing.T) {
	testutil.Privileged(t)
	kills, err := strconv.Atoi(os.Getenv(killsEnv))
	if err != nil {
		kills = 6
	}
	h := newHost(t)
	h.start()
	h.makeNetwork()
	before := links(t)
	client, server := "ee00000000000000000000000000000000000000000000000000000000000001", "ee00000000000000000000000000000000000000000000000000000000000002"
	a := h.container(client, "client-1")
	b := h.container(server, "server-1")
	if err := h.apply(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	transfer := newTransfer(t, a, b, h.held[server].Addr())

	seed := uint64(time.Now().UnixNano())
	t.Logf("%d kills with seed %d", kills, seed)
	random := rand.New(rand.NewPCG(seed, seed))
	lost := 0
	for round := range kills {
		var endpoint string
		var cut error
		done := make(chan struct{})
		go func() { endpoint, cut = h.churn(round); close(done) }()
		time.Sleep(time.Duration(random.IntN(150_000)) * time.Microsecond) // the random moment
		h.end(syscall.SIGKILL)
		<-done
		t.Logf("round %d: %v", round, cut)
		h.start()
		if h.held[endpoint] == (netip.Prefix{}) {
			lost++ // the lease of an answer that never came goes with the next reclaim
		}
		if err := h.detach(endpoint, h.insist); err != nil {
			t.Fatal(err)
		}
		if moved := transfer.progress(5 * time.Second); !moved {
			t.Fatalf("round %d (%v): the transfer stands still\n%s", round, cut, &h.output)
		}
	}
	transfer.end()

	for _, endpoint := range []string{client, server} {
		if err := h.detach(endpoint, h.insist); err != nil {
			t.Fatal(err)
		}
	}
	a.close(t)
	b.close(t)
	h.waitFor(func() string { return difference(before, links(t)) })
	h.removeNetwork()
	h.end(syscall.SIGTERM)
	h.nothingLeft(lost)
}

// waitFor polls until nothing is wrong any more.
func (h *host) waitFor(wrong func() string) {
	h.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		text := wrong()
		if text == "" {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s\n%s", text, &h.output)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// nothingLeft looks at the pins, the sockets and the store of a daemon that has stopped.
func (h *host) nothingLeft(lost int) {
	h.t.Helper()
	for _, pattern := range []string{"doors/*", "endpoints/*"} {
		if left, _ := filepath.Glob(filepath.Join(netns.BPFDir, "kill", pattern)); len(left) > 0 {
			h.t.Errorf("pins are left: %v", left)
		}
	}
	if left, _ := filepath.Glob(h.dir + "/*/*.sock"); len(left) > 0 {
		h.t.Errorf("sockets are left: %v", left)
	}
	s, err := bolt.Open(h.dir+"/state/sluice.db", bolt.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	defer s.Close()
	entries, err := s.List(h.t.Context(), "")
	if err != nil {
		h.t.Fatal(err)
	}
	leases := 0
	for _, e := range entries {
		kind, _, _ := strings.Cut(e.Key, "/")
		switch {
		case strings.HasPrefix(e.Key, "ipam/lease/"):
			leases++
		case kind == "endpoint" || kind == "network" || kind == "identity" || kind == "revision":
			h.t.Errorf("record %s is left: %s", e.Key, e.Value)
		}
	}
	if leases > lost {
		h.t.Errorf("%d leases are left, %d requests were cut off", leases, lost)
	}
	if err := os.RemoveAll(netns.BPFDir + "/kill"); err != nil {
		h.t.Error(err)
	}
}
