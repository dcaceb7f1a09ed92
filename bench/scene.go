package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/bench/load"
	"github.com/sluice-net/sluice/integration/hosts"
	"github.com/sluice-net/sluice/internal/netns"
)

// The first port of the servers, and the host ports under which they are published.
const (
	serverPort    = 7000
	publishedPort = 8000
	manyPort      = 8100
)

// uplinkAddr is the hosts' address on the way to the outside.
var uplinkAddr = netip.MustParseAddr("10.77.0.1")

// scene is everything that is measured: a bare pair, a host with Sluice, a host with Docker's bridge.
type scene struct {
	bare           [2]*netns.Namespace
	sluice, docker *hosts.Host
	api            *api.Client
	paths          map[string]path
	closers        []func() error
}

// path is a client and a server with a datapath between them.
type path struct {
	client, server string         // namespaces
	connect        netip.AddrPort // where the client finds the server
	listen         netip.AddrPort // where the server listens
}

// The datapaths.
const (
	pathBare       = "bare veth"
	pathBridge     = "bridge"
	pathSluice     = "Sluice"
	pathMany       = "Sluice, 5,000 entries"
	pathPort       = "Sluice, published port"
	pathPortMany   = "Sluice, published port, 5,000 entries"
	pathDockerPort = "docker -p"

	// At levels of observability other than flows, which the others have.
	pathQuiet = "Sluice, observe none"
	pathLoud  = "Sluice, observe packets"

	// As containers come: with the rules of Docker's resolver, see withoutResolver.
	pathSluicePlain = "Sluice, resolver's rules"
	pathBridgePlain = "bridge, resolver's rules"
)

// newScene builds all of it. On an error what was built is gone again.
func newScene(ctx context.Context, bin string) (s *scene, err error) {
	s = &scene{paths: map[string]path{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.buildBare(); err != nil {
		return nil, err
	}
	engine, err := hosts.GetEngine(hosts.Suites()[0])
	if err != nil {
		return nil, err
	}
	if s.docker, err = s.newHost(ctx, engine, bin, false); err != nil {
		return nil, err
	}
	if s.sluice, err = s.newHost(ctx, engine, bin, true); err != nil {
		return nil, err
	}
	s.api = api.NewClient(throughRoot(s.sluice.PID(), api.DefaultSocket))
	if err := s.buildBridge(ctx); err != nil {
		return nil, err
	}
	return s, s.buildSluice(ctx)
}

func (s *scene) close() error {
	var all []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		all = append(all, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(all...)
}

// throughRoot is how a process outside the mount namespace of another reaches a file there.
func throughRoot(pid int, path string) string { return fmt.Sprintf("/proc/%d/root%s", pid, path) }

// buildBare joins two namespaces by a pair of veth devices, and nothing else.
func (s *scene) buildBare() error {
	addresses := [2]string{"192.0.2.1/24", "192.0.2.2/24"}
	for i := range s.bare {
		n, err := netns.New(fmt.Sprintf("bench-%d-%d", os.Getpid(), i))
		if err != nil {
			return err
		}
		s.bare[i] = n
		s.closers = append(s.closers, n.Close)
	}
	h, err := s.bare[0].Netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	pair := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "eth0", PeerNamespace: netlink.NsFd(s.bare[1].FD())}
	pair.Name = "eth0"
	if err := h.LinkAdd(pair); err != nil {
		return fmt.Errorf("add veth pair: %w", err)
	}
	for i, n := range s.bare {
		if err := setAddress(n, addresses[i]); err != nil {
			return err
		}
	}
	at := netip.AddrPortFrom(netip.MustParsePrefix(addresses[1]).Addr(), serverPort)
	s.paths[pathBare] = path{client: namespacePath(s.bare[0]), server: namespacePath(s.bare[1]), connect: at, listen: at}
	return nil
}

func namespacePath(n *netns.Namespace) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.FD())
}

func setAddress(n *netns.Namespace, cidr string) error {
	h, err := n.Netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find eth0: %w", err)
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if err := h.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add address %s: %w", cidr, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set eth0 up: %w", err)
	}
	return nil
}

// newHost brings up a test host with an engine and, if wanted, Sluice.
func (s *scene) newHost(ctx context.Context, engine hosts.Engine, bin string, withSluice bool) (*hosts.Host, error) {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return nil, err
	}
	h, err := hosts.Up(dir, engine, bin)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, h.Close)
	if withSluice {
		if err := h.StartDaemon(); err != nil {
			return nil, err
		}
	}
	if err := h.StartDocker(); err != nil {
		return nil, err
	}
	return h, h.LoadImage(ctx)
}

// buildBridge starts two containers on a bridge of Docker's, one of them published.
func (s *scene) buildBridge(ctx context.Context) error {
	const network = "bench"
	if _, err := s.docker.Output(ctx, "docker", "network", "create", network); err != nil {
		return err
	}
	client, err := startContainer(ctx, s.docker, "client", "--network", network)
	if err != nil {
		return err
	}
	server, err := startContainer(ctx, s.docker, "server", "--network", network, "-p", publish(publishedPort))
	if err != nil {
		return err
	}
	s.paths[pathBridge] = between(client, server)
	if s.paths[pathBridgePlain], err = s.buildPlain(ctx, s.docker); err != nil {
		return err
	}
	if err := withoutResolver(client, server); err != nil {
		return err
	}
	s.paths[pathDockerPort] = fromOutside(s.docker, server, publishedPort)
	return nil
}

// buildSluice starts pairs of containers on a Sluice network; the policies of one pair have thousands of entries a
// direction, those of the others one for the peer. Of two pairs nothing is told, or every packet.
func (s *scene) buildSluice(ctx context.Context) error {
	const network = "bench"
	_, err := s.sluice.Output(ctx, "docker", "network", "create", "-d", "sluice", "--ipam-driver", "sluice", network)
	if err != nil {
		return err
	}
	built := map[string]container{}
	for name, options := range map[string][]string{
		"client": nil, "server": {"-p", publish(publishedPort)},
		"many-client": nil, "many-server": {"-p", publish(manyPort)},
		"quiet-client": {"--label", "sluice.observe=none"}, "quiet-server": {"--label", "sluice.observe=none"},
		"loud-client": {"--label", "sluice.observe=packets"}, "loud-server": {"--label", "sluice.observe=packets"},
	} {
		options = append(options, "--network", network, "--label", "app="+name)
		if built[name], err = startContainer(ctx, s.sluice, name, options...); err != nil {
			return err
		}
	}
	if err := s.applyPolicies(ctx); err != nil {
		return err
	}
	if s.paths[pathSluicePlain], err = s.buildPlain(ctx, s.sluice); err != nil {
		return err
	}
	if err := withoutResolver(slices.Collect(maps.Values(built))...); err != nil {
		return err
	}
	s.paths[pathSluice] = between(built["client"], built["server"])
	s.paths[pathQuiet] = between(built["quiet-client"], built["quiet-server"])
	s.paths[pathLoud] = between(built["loud-client"], built["loud-server"])
	s.paths[pathMany] = between(built["many-client"], built["many-server"])
	s.paths[pathPort] = fromOutside(s.sluice, built["server"], publishedPort)
	s.paths[pathPortMany] = fromOutside(s.sluice, built["many-server"], manyPort)
	return nil
}

// buildPlain starts two more containers, which stay as they come.
func (s *scene) buildPlain(ctx context.Context, h *hosts.Host) (path, error) {
	var pair [2]container
	for i, name := range []string{"client", "server"} {
		var err error
		pair[i], err = startContainer(ctx, h, "plain-"+name, "--network", "bench", "--label", "app="+name)
		if err != nil {
			return path{}, err
		}
	}
	return between(pair[0], pair[1]), nil
}

// withoutResolver removes what Docker's resolver has in containers of any network but the default bridge: NAT rules for
// 127.0.0.11. With them, the kernel tracks every packet of the container once more inside it, whatever the network's
// driver, which hides what is measured: the path between containers.
func withoutResolver(containers ...container) error {
	for _, c := range containers {
		const script = "iptables -t nat -F && iptables -t nat -X"
		out, err := exec.Command("nsenter", "--net="+c.namespace, "sh", "-c", script).CombinedOutput()
		if err != nil {
			return fmt.Errorf("remove the resolver's rules: %w: %s", err, out)
		}
	}
	return nil
}

func publish(first int) string {
	return fmt.Sprintf("%d-%d:%d-%d", first, first+load.Ports-1, serverPort, serverPort+load.Ports-1)
}

// container is a sleeping container.
type container struct {
	namespace string
	addr      netip.Addr
}

// startContainer starts a container that does nothing.
func startContainer(ctx context.Context, h *hosts.Host, name string, options ...string) (container, error) {
	argv := append([]string{"docker", "run", "-d", "--name", name}, options...)
	if _, err := h.Output(ctx, append(argv, hosts.Image, "sleep", "86400")...); err != nil {
		return container{}, err
	}
	const format = "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
	out, err := h.Output(ctx, "docker", "inspect", "-f", format, name)
	if err != nil {
		return container{}, err
	}
	inner, address, _ := strings.Cut(strings.TrimSpace(out), " ")
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return container{}, fmt.Errorf("inspect container %s: %w", name, err)
	}
	pid, err := outerPID(h, inner)
	return container{namespace: fmt.Sprintf("/proc/%d/ns/net", pid), addr: addr}, err
}

// outerPID finds the process that a host knows as inner: the one whose pid in the host's namespace is that.
func outerPID(h *hosts.Host, inner string) (int, error) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", h.PID()))
	if err != nil {
		return 0, fmt.Errorf("find process %s of %s: %w", inner, h.Name, err)
	}
	statuses, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return 0, err
	}
	for _, path := range statuses {
		pids := nestedPIDs(path)
		for level := 1; level < len(pids); level++ {
			if pids[level] != inner {
				continue
			}
			pid, err := strconv.Atoi(pids[0])
			if err == nil && inNamespace(pid, len(pids)-1-level, namespace) {
				return pid, nil
			}
		}
	}
	return 0, fmt.Errorf("find process %s of %s: there is none", inner, h.Name)
}

// nestedPIDs reads the pids of a process in the namespaces that it is in, from this one inwards.
func nestedPIDs(status string) []string {
	text, err := os.ReadFile(status)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}

// inNamespace says whether the pid namespace that is so many levels above the process's own is the given one.
func inNamespace(pid, above int, namespace string) bool {
	if above == 0 {
		own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		return err == nil && own == namespace
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		return false
	}
	defer f.Close()
	return parentNamespace(f, above) == namespace
}

// between is the path from one container to another of its network.
func between(client, server container) path {
	at := netip.AddrPortFrom(server.addr, serverPort)
	return path{client: client.namespace, server: server.namespace, connect: at, listen: at}
}

// fromOutside is the path from a host's outside world to a published port.
func fromOutside(h *hosts.Host, server container, port uint16) path {
	return path{
		client:  throughRoot(h.PID(), "/run/netns/outside"),
		server:  server.namespace,
		connect: netip.AddrPortFrom(uplinkAddr, port),
		listen:  netip.AddrPortFrom(server.addr, serverPort),
	}
}
