package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/integration/hosts"
)

// Places that rows may name besides containers and addresses.
const (
	thisHost  = "host"
	localhost = "localhost" // the same by its loopback address
	theLAN    = "lan"       // a machine in the network of the host's eth0
	internet  = "internet"  // one far away
)

// place is an end of connections.
type place struct {
	name      string
	container string   // its name, if it is one
	enter     []string // the command that runs another one there
	addresses []netip.Addr
	bind      bool // connections from here are bound to the address
	networks  map[string][]netip.Addr
	namespace string // outside or far, if it is there
}

// reachedFrom are the addresses by which it is reached: those of a network in common, if there is one, of each family that
// the other end has.
func (p place) reachedFrom(from place) []netip.Addr {
	addresses := p.addresses
	for network, of := range p.networks {
		if _, common := from.networks[network]; common {
			addresses = of
			break
		}
	}
	if !from.bind {
		return addresses
	}
	return slices.DeleteFunc(slices.Clone(addresses), func(a netip.Addr) bool {
		return !slices.ContainsFunc(from.addresses, func(b netip.Addr) bool { return a.Is4() == b.Is4() })
	})
}

func addresses(texts ...string) []netip.Addr {
	all := make([]netip.Addr, len(texts))
	for i, t := range texts {
		all[i] = netip.MustParseAddr(t)
	}
	return all
}

// find finds a place by its name: host, lan, internet, an address, a service of the recipe's projects (db, or db-2 for the
// second replica), or a container.
func (k *kitchen) find(ctx context.Context, name string) (place, error) {
	in := func(namespace string) []string { return []string{"nsenter", "--net=/run/netns/" + namespace, "--"} }
	switch name {
	case thisHost:
		return place{name: name, addresses: addresses("10.77.0.1", "fd77::1")}, nil
	case localhost:
		return place{name: name, addresses: addresses("127.0.0.1")}, nil
	case theLAN:
		return place{name: name, enter: in("outside"), namespace: "outside", addresses: addresses("10.77.0.2", "fd77::2")}, nil
	case internet:
		return place{name: name, enter: in("far"), namespace: "far", addresses: addresses("198.51.100.1", "2001:db8:64::1")}, nil
	}
	if a, err := netip.ParseAddr(name); err == nil {
		namespace := "far"
		if a.IsPrivate() || a.IsLinkLocalUnicast() {
			namespace = "outside"
		}
		p := place{name: name, enter: in(namespace), namespace: namespace, addresses: []netip.Addr{a}, bind: true}
		return p, k.addAddress(ctx, a, namespace)
	}
	names := []string{name}
	for _, project := range k.projects {
		names = append(names, project+"-"+name, project+"-"+name+"-1", strings.Replace(name, "/", "-", 1)+"-1")
	}
	for _, n := range names {
		out, err := k.host.Command(ctx, "docker", "inspect", "--type", "container", n).Output()
		if err != nil {
			continue
		}
		if p, err := readContainer(out); err != nil || p.name == n { // another one's id may begin with what is a name, as db
			return p, err
		}
	}
	return place{}, fmt.Errorf("there is no container %s", strings.Join(names, " or "))
}

// readContainer reads what docker inspect says.
func readContainer(inspected []byte) (place, error) {
	var found []struct {
		Name            string
		State           struct{ Pid int }
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
		}
	}
	if err := json.Unmarshal(inspected, &found); err != nil {
		return place{}, err
	}
	c := found[0]
	p := place{
		name: strings.TrimPrefix(c.Name, "/"), networks: map[string][]netip.Addr{},
		enter: []string{"nsenter", "-t", strconv.Itoa(c.State.Pid), "-n", "--"},
	}
	p.container = p.name
	for name, n := range c.NetworkSettings.Networks {
		for _, text := range []string{n.IPAddress, n.GlobalIPv6Address} {
			if a, err := netip.ParseAddr(text); err == nil {
				p.networks[name] = append(p.networks[name], a)
			}
		}
		if p.addresses == nil {
			p.addresses = p.networks[name]
		}
	}
	if p.addresses == nil {
		return place{}, fmt.Errorf("container %s has no address", p.name)
	}
	return p, nil
}

// addAddress gives an address to a machine outside, until the recipe ends.
func (k *kitchen) addAddress(ctx context.Context, a netip.Addr, namespace string) error {
	if k.added[a.String()] {
		return nil
	}
	k.added[a.String()] = true
	whole := netip.PrefixFrom(a, a.BitLen()).String()
	changes := [][]string{{"-n", namespace, "addr", "OP", whole, "dev", "lo"}}
	if namespace == "far" {
		via := "203.0.113.2"
		if a.Is6() {
			via = "2001:db8:63::2"
		}
		changes = append(changes, []string{"-n", "outside", "route", "OP", whole, "via", via})
	}
	for _, c := range changes {
		operate := func(op string) error {
			argv := append([]string{"ip"}, c...)
			argv[slices.Index(argv, "OP")] = op
			_, err := k.host.Output(context.WithoutCancel(ctx), argv...)
			return err
		}
		if err := operate("add"); err != nil {
			return err
		}
		k.undo = append(k.undo, func() { _ = operate("del") })
	}
	return nil
}

// serve lets a machine that is no container answer on ports, those that containers publish excepted. It listens on each
// address alone, so that datagrams are answered from the one that was asked.
func (k *kitchen) serve(ctx context.Context, to place, ports []port) error {
	if to.container != "" {
		return nil
	}
	published, err := k.host.Output(ctx, "sluice", "port", "ls", "-o", "json")
	if err != nil {
		return err
	}
	for _, p := range ports {
		taken := to.namespace == "" && strings.Contains(published, fmt.Sprintf(`"hostPort": %d,`, p.number))
		standing := p.number == 80 && to.namespace != "" || p.number == 7000 && to.namespace == ""
		if taken || standing || p.network == "ping" {
			continue
		}
		for _, on := range to.addresses {
			if err := k.serveOn(ctx, to, p, on.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *kitchen) serveOn(ctx context.Context, to place, p port, on string) error {
	key := on + " " + p.String()
	if k.added[key] {
		return nil
	}
	k.added[key] = true
	tcp, udp := strconv.Itoa(int(p.number)), ""
	if p.network == "udp" {
		tcp, udp = udp, tcp
	}
	serving, stop := context.WithCancel(ctx)
	cmd := inBackground(serving, k.host, slices.Concat(to.enter, []string{
		filepath.Join(k.host.Bin, "probe"), "serve", "-name", to.name, "-on", on, "-tcp", tcp, "-udp", udp, "-http", ""})...)
	if err := cmd.Start(); err != nil {
		stop()
		return err
	}
	k.undo = append(k.undo, func() {
		stop()
		_ = cmd.Wait()
	})
	target := net.JoinHostPort(on, strconv.Itoa(int(p.number)))
	return hosts.Poll(settleTime, func() error {
		_, err := k.host.Output(ctx, slices.Concat(to.enter, []string{"probe", p.network, "-w", "1s", target})...)
		return err
	})
}
