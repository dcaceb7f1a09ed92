package endpoint

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
)

// engineTime bounds how long a Join waits for Docker to tell the container's labels.
const engineTime = 500 * time.Millisecond

// interfacePrefix names containers' interfaces, Docker adds the number.
const interfacePrefix = "eth"

// CreateEndpoint makes the record of an endpoint and chooses what the request leaves open. Nothing reaches the kernel
// before Join, so that a failure leaves nothing behind.
func (m *Manager) CreateEndpoint(ctx context.Context, r EndpointRequest) (EndpointAnswer, error) {
	defer m.calls.lock(networkLock(r.NetworkID), r.ID)()
	n, ok := m.network(r.NetworkID)
	if !ok {
		return EndpointAnswer{}, fmt.Errorf("create endpoint %s: network %s is not known to Sluice", short(r.ID), short(r.NetworkID))
	}
	if err := checkOptions(r.Options); err != nil {
		return EndpointAnswer{}, fmt.Errorf("create endpoint %s: %w", short(r.ID), err)
	}
	e := &Endpoint{
		ID: r.ID, NetworkID: r.NetworkID, IPv4: r.IPv4, IPv6: r.IPv6, Identity: identity.Init, Ports: r.Ports,
		Options: r.Options, DNS: r.DNS, Created: m.Now().UTC(),
	}
	mac := r.MAC
	if mac == nil {
		mac = macOf(r.ID)
	}
	e.MAC = mac.String()
	if old, ok := m.endpoint(r.ID); ok {
		if old.NetworkID != e.NetworkID || old.IPv4 != e.IPv4 || old.IPv6 != e.IPv6 || old.MAC != e.MAC || !maps.Equal(old.Options, e.Options) {
			return EndpointAnswer{}, fmt.Errorf("create endpoint %s: it exists with other addresses or options", short(r.ID))
		}
		return answerCreate(r, mac), nil
	}
	err := checkAddresses(n, e, mac)
	if err == nil {
		err = m.takeOver(ctx, e)
	}
	if err != nil {
		return EndpointAnswer{}, fmt.Errorf("create endpoint %s: %w", short(r.ID), err)
	}
	if err := m.save(ctx, e); err != nil {
		return EndpointAnswer{}, err
	}
	return answerCreate(r, mac), nil
}

// answerCreate carries only what the request left open.
func answerCreate(r EndpointRequest, mac net.HardwareAddr) EndpointAnswer {
	if r.MAC != nil {
		return EndpointAnswer{}
	}
	return EndpointAnswer{MAC: mac}
}

// macOf derives a locally administered unicast MAC (IEEE 802-2014, 8.2.2) from an endpoint's id, so that it stays the
// same when the request is repeated.
func macOf(id string) net.HardwareAddr {
	sum := sha256.Sum256([]byte(id))
	return net.HardwareAddr{sum[0]&0xfc | 0x02, sum[1], sum[2], sum[3], sum[4], sum[5]}
}

// checkAddresses refuses addresses that are outside the network's subnets or its gateways.
func checkAddresses(n *Network, e *Endpoint, mac net.HardwareAddr) error {
	if len(mac) != 6 || mac[0]&1 != 0 {
		return fmt.Errorf("MAC %s is not a unicast Ethernet address", mac)
	}
	if len(e.addrs()) == 0 {
		return fmt.Errorf("no address was allocated: use an IPAM driver that allocates addresses")
	}
	for _, a := range e.addrs() {
		s, ok := n.subnet(a)
		if !ok {
			return fmt.Errorf("address %s is in no subnet of network %s", a, n.title())
		}
		if a == s.Gateway {
			return fmt.Errorf("address %s is the gateway of network %s", a, n.title())
		}
	}
	return nil
}

// uses reports whether a pair is the endpoint's.
func (e *Endpoint) uses(v datapath.Veth) bool {
	return e.Veth != nil && e.Veth.Slot == v.Slot && e.Veth.Ifindex == v.Ifindex
}

// holder returns the endpoint that has an address.
func (m *Manager) holder(a netip.Addr) *Endpoint {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, e := range m.endpoints {
		for _, have := range e.addrs() {
			if have == a {
				return e
			}
		}
	}
	return nil
}

// Join gives the endpoint a veth pair whose programs run before the answer: those of its labels if Docker tells them
// in time, else closed ones. Labels that cannot be accepted are refused, and so the container's start. A repeated Join
// of the same sandbox gives the same answer.
func (m *Manager) Join(ctx context.Context, r JoinRequest) (JoinAnswer, error) {
	container, done, err := m.ask(ctx, r)
	if err != nil {
		return JoinAnswer{}, fmt.Errorf("join endpoint %s: %w", short(r.EndpointID), err)
	}
	defer done()
	defer m.calls.lock(r.EndpointID)()
	e, ok := m.endpoint(r.EndpointID)
	n, known := m.network(r.NetworkID)
	if !ok || !known || e.NetworkID != r.NetworkID {
		return JoinAnswer{}, fmt.Errorf("join endpoint %s: not known to Sluice on network %s", short(r.EndpointID), short(r.NetworkID))
	}
	if e.joined() && e.Sandbox == r.SandboxKey && m.rejoin(ctx, n, e) {
		return m.answerJoin(n, e), nil
	}
	if err := m.detach(ctx, e); err != nil {
		return JoinAnswer{}, fmt.Errorf("join endpoint %s: %w", short(e.ID), err)
	}
	joined, err := m.attach(ctx, n, e.ID, r, container)
	if err != nil {
		return JoinAnswer{}, fmt.Errorf("join endpoint %s: %w", short(e.ID), err)
	}
	return m.answerJoin(n, joined), nil
}

// rejoin makes sure that what an earlier Join made is there and runs.
func (m *Manager) rejoin(ctx context.Context, n *Network, e *Endpoint) bool {
	err := m.Links.Configure(*e.Veth, m.linkConfig(n, e))
	if err == nil {
		err = m.regenerate(ctx, e.ID)
	}
	if err != nil {
		m.Log.WithError(err).WithField("endpoint", short(e.ID)).Warn("join again: starting anew")
	}
	return err == nil
}

// attach takes a pair, writes the record and brings the programs up; on error all of it is undone.
func (m *Manager) attach(ctx context.Context, n *Network, id string, r JoinRequest, container *Attachment) (*Endpoint, error) {
	veth, err := m.Links.Take(ctx)
	if err != nil {
		return nil, fmt.Errorf("take veth pair: %w", err)
	}
	old, _ := m.endpoint(id)
	e := *old
	e.Veth, e.Sandbox = &veth, r.SandboxKey
	err = m.Links.Configure(veth, m.linkConfig(n, &e))
	if err == nil {
		err = m.learn(ctx, n, &e, container)
	}
	if err == nil {
		err = m.regenerate(ctx, id)
	}
	current, _ := m.endpoint(id)
	if err != nil {
		return nil, errors.Join(err, m.undoAttach(context.WithoutCancel(ctx), current, veth))
	}
	return current, nil
}

// undoAttach gives a pair back, and takes it from the record if that has it already.
func (m *Manager) undoAttach(ctx context.Context, e *Endpoint, veth datapath.Veth) error {
	if e.Veth != nil {
		return m.detach(ctx, e)
	}
	m.releaseLink(&veth)
	return nil
}

// linkConfig says how the pair of an endpoint is set up.
func (m *Manager) linkConfig(n *Network, e *Endpoint) datapath.LinkConfig {
	mtu := n.Options.MTU
	if mtu == 0 {
		mtu = m.DefaultMTU()
	}
	mac, _ := net.ParseMAC(e.MAC)
	c := datapath.LinkConfig{MAC: mac, MTU: mtu, Addrs: e.addrs()}
	for _, a := range c.Addrs {
		if s, ok := n.subnet(a); ok && s.Gateway.IsValid() {
			c.Gateways = append(c.Gateways, s.Gateway)
		}
	}
	return c
}

// ask asks Docker for the container of an endpoint that is about to join, refuses labels that cannot be accepted, and
// announces whom they mention; done ends that. That Docker does not answer in time is no error: the container is nil
// then, and the endpoint stays closed until Reconcile learns it. The endpoint's lock is not held.
func (m *Manager) ask(ctx context.Context, r JoinRequest) (container *Attachment, done func(), err error) {
	e, ok := m.endpoint(r.EndpointID)
	n, known := m.network(r.NetworkID)
	if !ok || !known {
		return nil, func() {}, nil // Join refuses it
	}
	asked, cancel := context.WithTimeout(ctx, engineTime)
	defer cancel()
	a, err := m.Engine.Attachment(asked, r.NetworkID, r.EndpointID)
	if err != nil {
		m.Log.WithError(err).WithField("endpoint", short(e.ID)).Warn("labels are not known yet: the container stays closed")
		return nil, func() {}, nil
	}
	done, err = m.expect(ctx, n, e, a)
	return &a, done, err
}

// expect checks the labels that an endpoint is about to get, and announces whom they mention; done ends that. The error
// wraps errLabels where they cannot be accepted.
func (m *Manager) expect(ctx context.Context, n *Network, e *Endpoint, a Attachment) (done func(), err error) {
	expected := *e
	expected.Container = a.Container
	if a.NetworkName != "" {
		renamed := *n
		renamed.Name = a.NetworkName
		n = &renamed
	}
	labels, err := m.labelsOf(n, &expected, m.labelChange(a.Container.ID))
	if err == nil {
		err = checkPublished(labels, e.Ports)
	}
	if err != nil {
		return nil, fmt.Errorf("labels of container %s: %w", a.Container.Name, err)
	}
	return m.announce(ctx, namesOf(labels))
}

// learn writes the endpoint's record, with what Docker told of its container.
func (m *Manager) learn(ctx context.Context, n *Network, e *Endpoint, container *Attachment) error {
	if container == nil {
		m.requestReconcile()
		return m.save(ctx, e)
	}
	return m.name(ctx, n, e, *container)
}

// answerJoin tells Docker the interface and the gateways of the endpoint's subnets.
func (m *Manager) answerJoin(n *Network, e *Endpoint) JoinAnswer {
	answer := JoinAnswer{SrcName: e.Veth.Peer, DstPrefix: interfacePrefix}
	if n.Internal {
		return answer
	}
	for _, a := range e.addrs() {
		s, ok := n.subnet(a)
		switch {
		case !ok || !s.Gateway.IsValid():
		case a.Is4():
			answer.Gateway = s.Gateway
		default:
			answer.Gateway6 = s.Gateway
		}
	}
	// Without a gateway Docker would add an interface of docker_gwbridge, past our policy.
	answer.DisableGatewayService = !answer.Gateway.IsValid() && !answer.Gateway6.IsValid()
	return answer
}

// Leave closes the endpoint's slots and withdraws its ports and addresses. The pair itself stays until DeleteEndpoint,
// since Docker moves its interface back in between. Unknown endpoints succeed.
func (m *Manager) Leave(ctx context.Context, _, endpointID string) error {
	defer m.calls.lock(endpointID)()
	e, ok := m.endpoint(endpointID)
	if !ok || !e.joined() {
		return nil
	}
	left := *e
	left.Sandbox, left.Published = "", nil
	if err := m.silence(ctx, e, &left); err != nil {
		return fmt.Errorf("leave endpoint %s: %w", short(endpointID), err)
	}
	return nil
}

// DeleteEndpoint removes whatever is left of an endpoint. Unknown endpoints succeed.
func (m *Manager) DeleteEndpoint(ctx context.Context, _, endpointID string) error {
	defer m.calls.lock(endpointID)()
	e, ok := m.endpoint(endpointID)
	if !ok {
		return nil
	}
	if err := m.silence(ctx, e, nil); err != nil {
		return fmt.Errorf("delete endpoint %s: %w", short(endpointID), err)
	}
	m.releaseLink(e.Veth)
	if err := m.releaseIdentity(ctx, e.Identity); err != nil {
		m.Log.WithError(err).WithField("endpoint", short(endpointID)).Warn("identity is released later")
		m.retire(e.Identity)
	}
	m.requestRegeneration() // the tables of peers need not list it any more
	return nil
}

// releaseLink gives back a pair that no record names any more. Errors are for the log: the pair goes in any case, at
// once, in the background or at the next start.
func (m *Manager) releaseLink(v *datapath.Veth) {
	if v == nil {
		return
	}
	if err := m.Links.Release(v.Slot); err != nil {
		m.Log.WithError(err).Warn("release veth pair")
	}
}

// OperInfo returns what docker inspect may show of an endpoint.
func (m *Manager) OperInfo(_ context.Context, _, endpointID string) (map[string]string, error) {
	e, ok := m.endpoint(endpointID)
	if !ok || e.Veth == nil {
		return map[string]string{}, nil
	}
	return map[string]string{"sluice.interface": e.Veth.Host, "sluice.identity": fmt.Sprint(e.Identity)}, nil
}

// silence makes the endpoint unreachable (ports, addresses, slots) and saves what its record becomes; nil: none. No
// regeneration runs meanwhile, and later ones no longer see the endpoint in its slot.
func (m *Manager) silence(ctx context.Context, e, becomes *Endpoint) error {
	m.regeneration.mu.Lock()
	defer m.regeneration.mu.Unlock()
	m.publishing.Lock()
	defer m.publishing.Unlock()
	if err := m.withdraw(e); err != nil {
		return err
	}
	for _, a := range e.addrs() {
		if other := m.holder(a); other != nil && other.ID != e.ID {
			continue
		}
		if err := m.Addresses.Delete(a); err != nil {
			return fmt.Errorf("forget address %s: %w", a, err)
		}
		delete(m.published, a)
	}
	if e.Veth != nil {
		if err := m.Programs.Clear(e.Veth.Slot); err != nil {
			return fmt.Errorf("clear slot %d: %w", e.Veth.Slot, err)
		}
	}
	m.mu.Lock()
	delete(m.running, e.ID)
	m.mu.Unlock()
	if becomes == nil {
		return m.erase(ctx, e)
	}
	return m.save(ctx, becomes)
}

// detach takes the veth pair from an endpoint; one without a pair succeeds. The record is written before the pair goes:
// a pair that no record names is reclaimed at the next start.
func (m *Manager) detach(ctx context.Context, e *Endpoint) error {
	if e.Veth == nil {
		return nil
	}
	bare := *e
	bare.Veth, bare.Sandbox, bare.Published = nil, "", nil
	if err := m.silence(ctx, e, &bare); err != nil {
		return err
	}
	m.releaseLink(e.Veth)
	return nil
}
