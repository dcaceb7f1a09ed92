package endpoint

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/service"
	"github.com/sluice-net/sluice/store"
)

// Where the records stand in the store.
const (
	networkPrefix  = "network/"
	endpointPrefix = "endpoint/"
	identityPrefix = "identity/"
	policyPrefix   = "policy/"
	changePrefix   = "labels/"   // by container id
	judgePrefix    = "revision/" // by endpoint id
	// What was given away already, also if its holder is gone.
	revisionKey = "next/revision" // the newest revision
	identityKey = "next/identity" // the identity to try next
)

// Network is the record of a Docker network. Records are never changed in place: a change makes a new one.
type Network struct {
	ID       string
	Name     string // empty until Docker told it
	Number   uint32 // unique among the networks, from 1
	IPv4     []Subnet
	IPv6     []Subnet
	Internal bool
	Options  NetworkOptions
	Created  time.Time
}

// subnet returns the subnet that an address belongs to.
func (n *Network) subnet(a netip.Addr) (Subnet, bool) {
	for _, s := range slices.Concat(n.IPv4, n.IPv6) {
		if s.Pool.Contains(a) {
			return s, true
		}
	}
	return Subnet{}, false
}

// gateways returns the gateway addresses of all subnets.
func (n *Network) gateways() []netip.Addr {
	var all []netip.Addr
	for _, s := range slices.Concat(n.IPv4, n.IPv6) {
		if s.Gateway.IsValid() {
			all = append(all, s.Gateway)
		}
	}
	return all
}

// Container is what is known of the container of an endpoint. ID is empty until Docker told it.
type Container struct {
	ID     string
	Name   string
	Image  string
	Labels map[string]string // Docker's, of container and image
}

// LabelChange is what a user changed of a container's labels. It lives as long as the container, over its restarts.
type LabelChange struct {
	Add    map[string]string
	Remove []string
}

// Endpoint is the record of a container's place on a network.
type Endpoint struct {
	ID        string
	NetworkID string
	IPv4      netip.Prefix // with the subnet's length; invalid: none
	IPv6      netip.Prefix
	MAC       string
	Sandbox   string         // path of the namespace that it joined
	Veth      *datapath.Veth // while it is joined
	Container Container
	// Options are those of docker run --network name=…,driver-opt=KEY=VALUE: labels of this endpoint alone, in the place
	// of the container's of the same keys.
	Options   map[string]string
	DNS       []netip.Addr        // the servers that Docker's embedded DNS asks for it, if it has any of its own
	Identity  identity.ID         // Init until the labels are known
	Ports     []service.Mapping   // as Docker asked for
	Published []service.Published // what they became
	Split     bool                // the sandbox has another endpoint for the ports of one family
	Created   time.Time

	// What follows from the identity's labels (remember).
	hasName  bool     // they have sluice.name
	mentions []string // the names of containers that their policy mentions
}

// Judgement is the revision of an endpoint's policy. It is new whenever the tables change, and durable before a program
// uses it: flows in the kernel were judged under it, so no other tables, of whatever endpoint, may ever have the same.
type Judgement struct {
	Revision uint32
	Tables   string // hash of both tables
}

// addrs returns the endpoint's addresses.
func (e *Endpoint) addrs() []netip.Addr {
	var all []netip.Addr
	for _, p := range []netip.Prefix{e.IPv4, e.IPv6} {
		if p.IsValid() {
			all = append(all, p.Addr())
		}
	}
	return all
}

// joined reports whether a sandbox uses the endpoint: only then it has programs and can be reached.
func (e *Endpoint) joined() bool { return e.Veth != nil && e.Sandbox != "" }

// named reports whether the endpoint's container and so its labels are known.
func (e *Endpoint) named() bool { return e.Container.ID != "" }

// put returns the write that makes the record of a key durable.
func put(key string, record any) (store.Op, error) {
	value, err := json.Marshal(record)
	if err != nil {
		return store.Op{}, fmt.Errorf("encode %s: %w", key, err)
	}
	return store.Op{Key: key, Value: value}, nil
}

// decode reads the record of an entry.
func decode[T any](e store.Entry) (*T, error) {
	record := new(T)
	if err := json.Unmarshal(e.Value, record); err != nil {
		return nil, fmt.Errorf("decode %s: %w: %w", e.Key, store.ErrCorrupt, err)
	}
	return record, nil
}
