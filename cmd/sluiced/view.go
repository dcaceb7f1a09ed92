package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/datapath/maps"
	"github.com/sluice-net/sluice/endpoint"
	"github.com/sluice-net/sluice/internal/abi"
)

// kernelTables are the typed maps.
type kernelTables struct {
	endpoints *maps.Endpoints
	services  *maps.Services
	flows     *maps.Flows
	nat       *maps.NAT
	metrics   *maps.Metrics
	slots     *maps.Slots
	expirer   *maps.Expirer
}

func newKernelTables(l *datapath.Loader, log logrus.FieldLogger) *kernelTables {
	endpoints, nat := maps.NewEndpoints(l.Map("endpoints")), maps.NewNAT(l.Map("nat"))
	flows := maps.NewFlows(l.Map("flows_tcp"), l.Map("flows_any"))
	return &kernelTables{
		endpoints: endpoints, services: maps.NewServices(l.Map("services"), flows, nat, endpoints), flows: flows, nat: nat,
		metrics: maps.NewMetrics(l.Map("metrics")), slots: maps.NewSlots(l.Map("slots")),
		expirer: maps.NewExpirer(flows, nat, log),
	}
}

// containerAddresses are the addresses of containers: the flows of one that is given up end.
type containerAddresses struct {
	*maps.Endpoints
	expirer *maps.Expirer
}

func (a containerAddresses) Delete(addr netip.Addr) error {
	if err := a.Endpoints.Delete(addr); err != nil {
		return err
	}
	a.expirer.Release(addr)
	return nil
}

// endpointsView adds what the kernel knows to the endpoints: counters, and the size of the programs.
type endpointsView struct {
	*endpoint.Manager
	kernel *kernelTables
	loader *datapath.Loader
}

func (v endpointsView) Endpoints(ctx context.Context) ([]api.Endpoint, error) {
	all, err := v.Manager.Endpoints(ctx)
	for i := range all {
		sent, received, countErr := v.kernel.slots.Get(all[i].Slot)
		if countErr != nil {
			return nil, countErr
		}
		if all[i].Program.Instructions, countErr = v.loader.Instructions(all[i].Slot); countErr != nil {
			v.Log.WithError(countErr).Warn("endpoint shown without the size of its programs")
		}
		all[i].Egress.Packets, all[i].Egress.Bytes = sent.Packets, sent.Bytes
		all[i].Ingress.Packets, all[i].Ingress.Bytes = received.Packets, received.Bytes
	}
	return all, err
}

// portsView names the method as the API wants it.
type portsView struct{ *endpoint.Manager }

func (v portsView) Ports(ctx context.Context) ([]api.Port, error) { return v.PublishedPorts(ctx) }

// kernelView shows the kernel's tables.
type kernelView struct {
	*endpoint.Manager
	kernel *kernelTables
}

func (v kernelView) Connections(_ context.Context, yield func(api.Connection) bool) error {
	for f, err := range v.kernel.flows.All() {
		if err != nil {
			return err
		}
		if !f.Expired() && !yield(connection(f)) {
			return nil
		}
	}
	return nil
}

// judgedBits are no part of the revision.
const judgedBits = abi.RevisionAudited | abi.RevisionLearned

// connection shows a flow.
func connection(f maps.Flow) api.Connection {
	c := api.Connection{
		Protocol: protocolName(f.Proto), Source: unmap(f.Initiator), Destination: unmap(f.Responder), Idle: f.Idle,
		State:          flowState(f),
		EgressRevision: f.State.EgressRevision &^ judgedBits, EgressPeer: f.State.EgressPeer,
		IngressRevision: f.State.IngressRevision &^ judgedBits, IngressPeer: f.State.IngressPeer,
	}
	if f.State.Flags&abi.FlowDNAT != 0 {
		c.Frontend = netip.AddrPortFrom(f.State.DNATAddr.Addr(), f.State.DNATPort.Host())
	}
	if f.State.Flags&abi.FlowSNAT != 0 {
		c.Masquerade = netip.AddrPortFrom(f.State.SNATAddr.Addr(), f.State.SNATPort.Host())
	}
	return c
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// flowState names the state of a flow.
func flowState(f maps.Flow) string {
	flags := f.State.Flags
	const bothFIN = abi.FlowFINInitiator | abi.FlowFINResponder
	switch {
	case f.Proto != unix.IPPROTO_TCP && flags&abi.FlowReplied != 0:
		return "replied"
	case f.Proto != unix.IPPROTO_TCP:
		return "new"
	case flags&abi.FlowReset != 0 || flags&bothFIN == bothFIN:
		return "closed"
	case flags&bothFIN != 0:
		return "closing"
	case flags&abi.FlowEstablished != 0:
		return "established"
	}
	return "opening"
}

func protocolName(p uint8) string {
	switch p {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_ICMP:
		return "icmp"
	case unix.IPPROTO_ICMPV6:
		return "icmpv6"
	case unix.IPPROTO_SCTP:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}

func (v kernelView) Addresses(context.Context) ([]api.AddressEntry, error) {
	all, err := v.kernel.endpoints.List()
	var out []api.AddressEntry
	for addr, a := range all {
		e := api.AddressEntry{
			Addr: addr, Host: a.Host, Ifindex: a.Ifindex, Identity: a.Identity, Network: a.Network, Slot: a.Slot,
		}
		if a.MAC != nil && !a.Host {
			e.MAC = a.MAC.String()
		}
		if p := v.Addr(addr); p != nil && !a.Host {
			e.Endpoint = cmp.Or(p.Container, p.EndpointID)
		}
		out = append(out, e)
	}
	return out, err
}

func (v kernelView) Metrics(context.Context) ([]api.Metric, error) {
	counters, err := v.kernel.metrics.List()
	out := []api.Metric{}
	for _, m := range counters {
		line := api.Metric{Direction: m.Direction.String(), Packets: m.Packets, Bytes: m.Bytes}
		if m.Reason != 0 {
			line.Reason = m.Reason.String()
		}
		out = append(out, line)
	}
	return out, err
}

// logLevel shows the logger's level.
type logLevel struct{ log *logrus.Logger }

func (l logLevel) LogLevel() string { return l.log.GetLevel().String() }

func (l logLevel) SetLogLevel(level string) error {
	parsed, err := logrus.ParseLevel(level)
	if err != nil {
		return api.Errorf(api.CodeInvalid, "set log level %q: use trace, debug, info, warning or error", level)
	}
	l.log.SetLevel(parsed)
	return nil
}

// Status tells how the daemon and the host are.
func (d *daemon) Status(ctx context.Context) (api.Status, error) {
	s := api.Status{
		Version: api.Build(), State: "ready", Kernel: kernelRelease(), Doors: d.host.Doors, PID: os.Getpid(),
		Started: d.started, Memory: residentSet(), Revision: d.manager.Generation(), Events: d.observer.Counts(),
		Directories: map[string]string{"state": d.config.stateDir, "run": d.config.runDir, "pins": d.config.pinDir},
	}
	if d.config.policyDir != "" {
		s.Directories["policy"] = d.config.policyDir
	}
	if d.config.export.dir != "" {
		s.Directories["export"] = d.config.export.dir
	}
	s.Exports = d.exports.List()
	s.Host, _ = os.Hostname()
	for _, r := range d.host.Requirements {
		c := api.Check{Name: r.Name, OK: r.Err == nil, Detail: r.Found}
		if r.Err != nil {
			c.Detail = r.String()
		}
		s.Checks = append(s.Checks, c)
	}
	s.Checks = append(s.Checks, d.checkDocker(ctx), d.checkUplinks(), d.checkPolicies(), d.checkPolicyFiles(ctx), d.checkExports(s.Exports))
	for _, c := range s.Checks {
		if !c.OK {
			s.State = "degraded"
		}
	}
	d.manager.Count(&s)
	var err error
	if s.Tables, err = d.metered.tables(); err != nil {
		d.log.WithError(err).Warn("status without all tables")
	}
	return s, nil
}

func (d *daemon) checkDocker(ctx context.Context) api.Check {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	v, err := d.docker.Version(ctx)
	if err != nil {
		return api.Check{Name: "docker", Detail: err.Error() + "; start Docker, or name its socket with --docker"}
	}
	return api.Check{Name: "docker", OK: true, Detail: v}
}

func (d *daemon) checkPolicies() api.Check {
	if unreadable := d.manager.UnreadablePolicies(); len(unreadable) > 0 {
		return api.Check{Name: "policies", Detail: "stored by another version and not readable: " + strings.Join(unreadable, ", ") +
			"; whom they select is closed until they are applied again or deleted"}
	}
	return api.Check{Name: "policies", OK: true, Detail: "all readable"}
}

func (d *daemon) checkPolicyFiles(ctx context.Context) api.Check {
	files, err := d.manager.PolicyFiles(ctx)
	check := api.Check{Name: "policy files", OK: err == nil}
	var broken []string
	policies := 0
	for _, f := range files {
		policies += len(f.Policies)
		for _, p := range f.Problems {
			broken = append(broken, p.String())
		}
	}
	switch {
	case d.config.policyDir == "":
		check.Detail = "no directory"
	case len(broken) > 0:
		check.OK, check.Detail = false, strings.Join(broken, "; ")+"; what broken files brought before is in force"
	default:
		check.Detail = fmt.Sprintf("%d in %s, with %d policies", len(files), d.config.policyDir, policies)
	}
	return check
}

func (d *daemon) checkUplinks() api.Check {
	uplinks, err := d.uplinks.List()
	if err != nil {
		return api.Check{Name: "uplinks", Detail: err.Error()}
	}
	var names []string
	for _, u := range uplinks {
		names = append(names, u.Name)
	}
	if len(names) == 0 {
		return api.Check{Name: "uplinks", OK: true, Detail: "none: containers reach only this host"}
	}
	return api.Check{Name: "uplinks", OK: true, Detail: strings.Join(names, ", ")}
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// residentSet returns the memory that the daemon uses, bytes (proc(5), statm).
func residentSet() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

// ephemeralPorts returns the range that the kernel gives ports from, for published ports without a number.
func ephemeralPorts() (first, last uint16) {
	const file = "/proc/sys/net/ipv4/ip_local_port_range"
	text, err := os.ReadFile(file)
	fields := strings.Fields(string(text))
	if err != nil || len(fields) != 2 {
		return 32768, 60999
	}
	a, errA := strconv.ParseUint(fields[0], 10, 16)
	b, errB := strconv.ParseUint(fields[1], 10, 16)
	if errA != nil || errB != nil || a > b {
		return 32768, 60999
	}
	return uint16(a), uint16(b)
}
