package datapath

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/policy"
)

// Errors of Explain, to be tested with errors.Is.
var (
	// ErrNoProgram: the slot is empty, or its programs are of another version and answer no questions.
	ErrNoProgram = errors.New("no program answers")
	// ErrNoAddress: the container has no address of the peer's family.
	ErrNoAddress = errors.New("the container has no address of this family")
	// ErrNoPolicy: no policy is asked about such messages.
	ErrNoPolicy = errors.New("no policy is asked about ICMP errors, redirects and neighbour discovery")
)

// Question is about the first packet of a connection between the container in a slot and a peer.
type Question struct {
	// Direction is Egress for a connection that the container opens, Ingress for one that the peer opens.
	Direction policy.Direction
	// Peer is the other end as the container's program sees it: behind a frontend, its backend. Who it is, the maps say.
	Peer     netip.Addr
	Protocol uint8
	Port     uint16 // that the connection is opened to, behind a frontend the container's; of ICMP and ICMPv6: type << 8 | code
	// HostPort is the published port by which the peer comes, 0 if by none.
	HostPort uint16
}

// Answer is what a loaded program says.
type Answer struct {
	// Reason is why the packet would be dropped if policies were enforced; abi.DropNone: it would not.
	Reason abi.DropReason
	// Rule is the number of the rule that decided; 0: none did.
	Rule uint16
	// Published says that the rule is of the table of published ports, not of the direction's (Tables.JudgePublished).
	Published    bool
	Enforcement  policy.Enforcement
	Class        policy.Class // of the peer
	PeerIdentity uint32
	Revision     uint32

	unenforced bool // a policy that denies is not enforced here
}

// Passes says whether a packet would pass: nothing drops it, or only a policy that is not enforced.
func (a Answer) Passes() bool {
	switch a.Reason {
	case abi.DropNone:
		return true
	case abi.DropPolicyDenied, abi.DropPublishDenied:
		return a.unenforced
	}
	return false
}

// Explain asks the very program that packets meet, by a test run: it judges the packet and does nothing else, so it leaves no
// flow, no count and no event. The error wraps ErrSlot, ErrNoProgram, ErrNoAddress or ErrNoPolicy.
func (l *Loader) Explain(slot uint32, q Question) (Answer, error) {
	a, err := l.explain(slot, q)
	if err != nil {
		return a, fmt.Errorf("ask program of slot %d: %w", slot, err)
	}
	return a, nil
}

func (l *Loader) explain(slot uint32, q Question) (Answer, error) {
	if err := l.checkSlot(slot); err != nil {
		return Answer{}, err
	}
	if q.unjudged() {
		return Answer{}, ErrNoPolicy
	}
	array := ingressSlots
	if q.Direction == policy.Egress {
		array = egressSlots
	}
	lock := &l.slots[slot%uint32(len(l.slots))] // a program is gone soon after it was replaced
	lock.Lock()
	defer lock.Unlock()
	var id uint32
	err := l.maps.get(array).Lookup(slot, &id)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return Answer{}, fmt.Errorf("%w: the slot is empty", ErrNoProgram)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("read %s: %w", array, err)
	}
	own, err := l.ownEnd(ebpf.ProgramID(id), q.Peer)
	if err != nil {
		return Answer{}, err
	}
	peer, err := l.endpoint(q.Peer)
	if err != nil {
		return Answer{}, err
	}
	program, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return Answer{}, fmt.Errorf("open program: %w", err)
	}
	defer program.Close()
	return askProgram(program, q, own, peer)
}

// end is one end of a packet.
type end struct {
	mac  net.HardwareAddr
	addr netip.Addr
}

// ownEnd reads from a program's constants whose it is.
func (l *Loader) ownEnd(id ebpf.ProgramID, peer netip.Addr) (end, error) {
	constants, err := constantsOf(id)
	if err != nil {
		return end{}, fmt.Errorf("read its constants: %w", err)
	}
	name := "ADDRESS6"
	if peer.Unmap().Is4() {
		name = "ADDRESS4"
	}
	mac, addr := l.container.constant(constants, "CONTAINER_MAC"), l.container.constant(constants, name)
	if mac == nil || addr == nil {
		return end{}, fmt.Errorf("%w: it is of another version; sluice endpoint regenerate replaces it", ErrNoProgram)
	}
	a := netip.AddrFrom16([16]byte(addr)).Unmap()
	if a.IsUnspecified() {
		return end{}, ErrNoAddress
	}
	return end{net.HardwareAddr(mac[:6]), a}, nil
}

// constant cuts a constant out of what a program of this template was loaded with; nil if it has none.
func (t *template) constant(data []byte, name string) []byte {
	v, ok := t.vars[name]
	if !ok || int(v.offset+v.size) > len(data) {
		return nil
	}
	return data[v.offset : v.offset+v.size]
}

// endpoint is what the map endpoints knows of an address; nil: it is of the world.
func (l *Loader) endpoint(a netip.Addr) (*abi.Endpoint, error) {
	key, e := abi.FromAddr(a), abi.Endpoint{}
	switch err := l.maps.get("endpoints").Lookup(&key, &e); {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up %s: %w", a, err)
	}
	return &e, nil
}

// skb is struct __sk_buff, as far as a question needs it.
type skb struct {
	Before [12]uint32
	CB     [5]uint32
	After  [124]byte
}

// question is what the program finds in skb->cb (enum explain of bpf/abi/types.h).
func (q Question) question(peer *abi.Endpoint) (cb [5]uint32) {
	cb[0] = abi.ExplainQuestion | uint32(q.HostPort)<<16
	switch {
	case q.Direction == policy.Egress:
	case peer == nil:
		cb[0] |= abi.OriginUplink
		cb[1] = abi.IdentityWorld
	case peer.Flags&abi.EndpointHost != 0:
		cb[0] |= abi.OriginStack
	default:
		cb[0] |= abi.OriginContainer
		cb[1], cb[2] = peer.Identity, peer.Network
	}
	return cb
}

func askProgram(program *ebpf.Program, q Question, own end, peer *abi.Endpoint) (Answer, error) {
	in, out := skb{CB: q.question(peer)}, skb{}
	_, err := program.Run(&ebpf.RunOptions{Data: q.packet(own), Context: &in, ContextOut: &out})
	if err != nil {
		return Answer{}, fmt.Errorf("run it: %w", err)
	}
	if out.CB[0]&abi.ExplainMask != abi.ExplainAnswer {
		return Answer{}, fmt.Errorf("%w: it is of another version; sluice endpoint regenerate replaces it", ErrNoProgram)
	}
	a := Answer{
		Reason: abi.DropReason(out.CB[1]), Rule: uint16(out.CB[2]),
		Published: out.CB[0]>>24&0xf == abi.PolicyPublish, unenforced: out.CB[0]&abi.ExplainPasses != 0,
		Enforcement: policy.Enforcement(out.CB[0]), Class: policy.Class(out.CB[0] >> 16 & 0xff), Revision: out.CB[3], PeerIdentity: out.CB[4],
	}
	return a, nil
}
