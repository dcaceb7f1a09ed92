package api

import (
	"net/netip"
	"time"
)

// Version is what a program was built from.
type Version struct {
	Version string `json:"version"`          // of Sluice, for example 0.1.0
	Commit  string `json:"commit,omitempty"` // short hash, "+" behind it if the tree was changed
	Go      string `json:"go"`               // of the compiler
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// Status is how the daemon and the host are.
type Status struct {
	Version    Version        `json:"version"`
	State      string         `json:"state"` // ready, or degraded when a check fails
	Host       string         `json:"host"`
	Kernel     string         `json:"kernel"` // release
	Doors      string         `json:"doors"`  // how programs are attached: tcx or clsact
	PID        int            `json:"pid"`
	Started    time.Time      `json:"started"`
	Memory     uint64         `json:"memory"` // resident set of the daemon, bytes
	Revision   uint64         `json:"revision"`
	Checks     []Check        `json:"checks"`
	Networks   int            `json:"networks"`
	Endpoints  EndpointCounts `json:"endpoints"`
	Policies   int            `json:"policies"`
	Ports      int            `json:"ports"`
	Identities int            `json:"identities"`
	Tables     []TableUse     `json:"tables,omitempty"`
	Events     EventCounts    `json:"events"`
	// Exports are where flows are sent, by name.
	Exports []Export `json:"exports,omitempty"`
	// Directories maps a use (state, run, pins, policy, export) to its path.
	Directories map[string]string `json:"directories,omitempty"`
}

// Check is one thing that the daemon needs, for example docker, store, bpffs, cgroup, uplinks.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // what was found, or what is wrong and what to do
}

// EndpointCounts counts endpoints by state.
type EndpointCounts struct {
	Total  int `json:"total"`
	Ready  int `json:"ready"`
	Closed int `json:"closed"` // labels unknown: only ARP and ND pass
	Failed int `json:"failed"` // the newest program could not be loaded, or the labels are refused
}

// TableUse is how full a kernel table is. Entries is -1 where counting would cost too much.
type TableUse struct {
	Name    string `json:"name"`
	Entries int    `json:"entries"`
	Max     int    `json:"max"`
}

// EventCounts counts what went through the ring buffer.
type EventCounts struct {
	Seen        uint64 `json:"seen"`
	Lost        uint64 `json:"lost"` // the ring buffer was full
	Undecodable uint64 `json:"undecodable,omitempty"`
	Subscribers int    `json:"subscribers"`
}

// The states of an export.
const (
	ExportIdle = "idle" // nothing was sent yet
	ExportUp   = "up"
	ExportDown = "down" // it does not take what it is sent; LastError says why
)

// Export is a receiver of flows.
type Export struct {
	Name   string `json:"name"`
	Type   string `json:"type"`   // file, otlp or syslog
	Target string `json:"target"` // path or address
	Source string `json:"source"` // the file that it is configured in
	State  string `json:"state"`  // ExportIdle, ExportUp or ExportDown
	// Exported counts flows that it took, Failed those that it refused. Lost counts flows that were overwritten in memory
	// before they could be sent, also those that its filters would have left out; Waiting counts those in memory.
	Exported      uint64    `json:"exported"`
	Failed        uint64    `json:"failed"`
	Lost          uint64    `json:"lost"`
	Waiting       uint64    `json:"waiting"`
	LastExport    time.Time `json:"lastExport,omitzero"`
	LastError     string    `json:"lastError,omitempty"`
	LastErrorTime time.Time `json:"lastErrorTime,omitzero"`
}

// Network is a Docker network that Sluice serves.
type Network struct {
	ID         string            `json:"id"`
	Name       string            `json:"name,omitempty"` // empty while Docker has not told it
	Number     uint32            `json:"number"`
	Subnets    []Subnet          `json:"subnets"`
	Internal   bool              `json:"internal"`
	Masquerade bool              `json:"masquerade"`
	Isolate    bool              `json:"isolate"`
	Policy     string            `json:"policy"`            // default, always or never
	Observe    string            `json:"observe,omitempty"` // none, drops, flows or packets; empty: the daemon's
	MTU        int               `json:"mtu"`
	Endpoints  int               `json:"endpoints"`
	Options    map[string]string `json:"options,omitempty"`
	Created    time.Time         `json:"created,omitzero"`
}

// Subnet is one address pool of a network.
type Subnet struct {
	Prefix  netip.Prefix `json:"prefix"`
	Gateway netip.Addr   `json:"gateway,omitzero"` // invalid: none
	Range   netip.Prefix `json:"range,omitzero"`   // of automatic addresses, invalid: the whole prefix
}

// The states of an endpoint.
const (
	StateClosed = "closed" // its labels are not known yet: only ARP and ND pass
	StateReady  = "ready"
	// StateFailed: the newest program could not be loaded, the one before runs on; or the container is closed, for its
	// labels are refused. LastError says why.
	StateFailed = "failed"
)

// Endpoint is one container's place on one network.
type Endpoint struct {
	ID          string            `json:"id"` // Docker's, 64 hex digits
	State       string            `json:"state"`
	Slot        uint32            `json:"slot"`
	NetworkID   string            `json:"networkID"`
	Network     string            `json:"network"`
	ContainerID string            `json:"containerID,omitempty"`
	Container   string            `json:"container,omitempty"` // name, without a slash before it
	Image       string            `json:"image,omitempty"`
	Project     string            `json:"project,omitempty"` // compose
	Service     string            `json:"service,omitempty"` // compose
	Identity    uint32            `json:"identity"`
	Labels      map[string]string `json:"labels"`           // as policy sees them
	Changed     LabelChange       `json:"changed,omitzero"` // what `endpoint label` did to Docker's labels
	IPv4        netip.Prefix      `json:"ipv4,omitzero"`
	IPv6        netip.Prefix      `json:"ipv6,omitzero"`
	MAC         string            `json:"mac"`
	Interface   string            `json:"interface"` // host's side
	Ifindex     int               `json:"ifindex"`
	Revision    uint32            `json:"revision"` // of the running program's policy
	Program     Program           `json:"program"`
	Egress      Direction         `json:"egress"`
	Ingress     Direction         `json:"ingress"`
	Publish     Publishing        `json:"publish,omitzero"`
	Mode        string            `json:"mode,omitempty"`        // enforce, audit or learn
	Profile     string            `json:"profile,omitempty"`     // of its labels
	Observe     string            `json:"observe,omitempty"`     // what is told of its packets: none, drops, flows or packets
	EgressRate  string            `json:"egressRate,omitempty"`  // limit of what it sends, as labels write it: 20mbit/1mb
	IngressRate string            `json:"ingressRate,omitempty"` // limit of what it receives
	Options     map[string]string `json:"options,omitempty"`     // driver options, labels of this endpoint alone
	LastError   string            `json:"lastError,omitempty"`
}

// Publishing is who may reach the ports that a container publishes.
type Publishing struct {
	Enforced bool     `json:"enforced"` // a rule or publish-default restricts it
	Rules    []string `json:"rules,omitempty"`
	Entries  int      `json:"entries,omitempty"` // of the verdict table
}

// IsZero reports whether nothing is restricted.
func (p Publishing) IsZero() bool { return !p.Enforced }

// Program is the pair of BPF programs that an endpoint runs.
type Program struct {
	Fingerprint  string        `json:"fingerprint,omitempty"`
	Instructions int           `json:"instructions,omitempty"` // of both
	Loaded       time.Time     `json:"loaded,omitzero"`
	LoadTime     time.Duration `json:"loadTime,omitempty"` // ns, compile, verify and swap
}

// Direction is policy and traffic of one direction, as the container sees it.
type Direction struct {
	Enforced bool     `json:"enforced"` // a rule restricts it
	Policies []string `json:"policies,omitempty"`
	Entries  int      `json:"entries,omitempty"` // of the verdict table
	Packets  uint64   `json:"packets"`           // forwarded
	Bytes    uint64   `json:"bytes"`
}

// LabelChange adds or overrides labels and removes others.
type LabelChange struct {
	Add    map[string]string `json:"add,omitempty"`
	Remove []string          `json:"remove,omitempty"`
}

// IsZero reports whether nothing is changed.
func (c LabelChange) IsZero() bool { return len(c.Add) == 0 && len(c.Remove) == 0 }

// Regeneration is what became of one endpoint's program.
type Regeneration struct {
	Endpoint  string        `json:"endpoint"` // id
	Container string        `json:"container,omitempty"`
	Network   string        `json:"network,omitempty"`
	Revision  uint32        `json:"revision"`
	Took      time.Duration `json:"took"`            // ns
	Error     string        `json:"error,omitempty"` // the program before runs on
}

// Change is the answer to whatever changes policy or labels. Regenerations is filled by a wait.
type Change struct {
	Revision      uint64         `json:"revision"`
	Policies      []PolicyResult `json:"policies,omitempty"`
	Regenerations []Regeneration `json:"regenerations,omitempty"`
}

// Identity is a set of labels with its number, or a reserved one.
type Identity struct {
	ID        uint32            `json:"id"`
	Name      string            `json:"name,omitempty"` // of a reserved one: host, world, init
	Labels    map[string]string `json:"labels,omitempty"`
	Endpoints []string          `json:"endpoints,omitempty"` // ids
}

// PolicySource is the text of a file: one or several documents, YAML or JSON.
type PolicySource struct {
	Source string `json:"source"` // the file, as the client called it; "-" is standard input
	Text   string `json:"text"`
}

// Policy is a stored document.
type Policy struct {
	Name      string   `json:"name"` // unique; with a namespace: namespace/name
	Kind      string   `json:"kind"`
	Source    string   `json:"source"` // where it came from
	Rules     int      `json:"rules"`
	Endpoints []string `json:"endpoints"` // ids of those that it selects
	// Unresolved are peers that no container is now, as labels write them: a service that does not run yet.
	Unresolved []string  `json:"unresolved,omitempty"`
	Revision   uint64    `json:"revision"` // in which it came or changed
	Applied    time.Time `json:"applied,omitzero"`
	Text       string    `json:"text"`   // the document as it was given
	Origin     string    `json:"origin"` // OriginDocument, OriginDirectory or OriginLabel
	// Problems are why its file is broken; the version before, this one, is in force.
	Problems []Problem `json:"problems,omitempty"`
}

// How policies come.
const (
	OriginDocument  = "document"  // applied by a command
	OriginDirectory = "directory" // a file of the policy directory
	OriginLabel     = "label"     // the labels of containers
)

// What became of a policy document.
const (
	ActionCreated   = "created"
	ActionUpdated   = "updated"
	ActionUnchanged = "unchanged"
	ActionDeleted   = "deleted"
	ActionValid     = "valid" // validated, not stored
)

// PolicyResult is what became of one document. Endpoints counts those that it selects.
type PolicyResult struct {
	Name      string `json:"name"`
	Kind      string `json:"kind,omitempty"`
	Source    string `json:"source,omitempty"`
	Action    string `json:"action"`
	Endpoints int    `json:"endpoints"`
}

// Port is a published port.
type Port struct {
	HostAddr  netip.Addr `json:"hostAddr"` // 0.0.0.0 or ::: every address of the host
	HostPort  uint16     `json:"hostPort"`
	Protocol  string     `json:"protocol"` // tcp, udp or sctp
	Addr      netip.Addr `json:"addr"`     // the container's
	Port      uint16     `json:"port"`
	Endpoint  string     `json:"endpoint"` // id
	Container string     `json:"container,omitempty"`
	Network   string     `json:"network,omitempty"`
}

// Connection is an entry of the kernel's flow tables. Addresses are as the responder sees them; Frontend is what the
// initiator used instead, Masquerade what the outside sees instead.
type Connection struct {
	Protocol        string         `json:"protocol"`
	Source          netip.AddrPort `json:"source"` // initiator
	Destination     netip.AddrPort `json:"destination"`
	Frontend        netip.AddrPort `json:"frontend,omitzero"`
	Masquerade      netip.AddrPort `json:"masquerade,omitzero"`
	State           string         `json:"state"` // opening, established, closing, closed, new, replied
	Idle            time.Duration  `json:"idle"`  // ns since the last packet
	EgressRevision  uint32         `json:"egressRevision,omitempty"`
	EgressPeer      uint32         `json:"egressPeer,omitempty"`
	IngressRevision uint32         `json:"ingressRevision,omitempty"`
	IngressPeer     uint32         `json:"ingressPeer,omitempty"`
}

// AddressEntry is an entry of the kernel's table of addresses.
type AddressEntry struct {
	Addr     netip.Addr `json:"addr"`
	Host     bool       `json:"host"` // an address of the host
	Ifindex  int        `json:"ifindex,omitempty"`
	MAC      string     `json:"mac,omitempty"`
	Identity uint32     `json:"identity"`
	Network  uint32     `json:"network,omitempty"` // number
	Slot     uint32     `json:"slot,omitempty"`
	Endpoint string     `json:"endpoint,omitempty"` // container's name or endpoint's id
}

// PolicyEntry is one line of a compiled verdict table. Ports From to To of Protocol, ICMP: type*256+code.
type PolicyEntry struct {
	Endpoint  string `json:"endpoint"` // id
	Container string `json:"container,omitempty"`
	Direction string `json:"direction"` // egress, ingress or publish
	Revision  uint32 `json:"revision"`
	Peer      string `json:"peer"`               // identity's labels, class (network, other, host, world) or address range
	Identity  uint32 `json:"identity,omitempty"` // of the peer, 0: a class or range
	Protocol  string `json:"protocol"`           // any, tcp, …
	From      uint16 `json:"from"`
	To        uint16 `json:"to"`
	Verdict   string `json:"verdict"`        // allow or deny
	Rule      string `json:"rule,omitempty"` // policy/place, empty: the default
}

// Metric is a counter of the kernel. Reason is empty for forwarded packets.
type Metric struct {
	Direction string `json:"direction"` // egress, ingress or uplink
	Reason    string `json:"reason,omitempty"`
	Packets   uint64 `json:"packets"`
	Bytes     uint64 `json:"bytes"`
}

// LogLevel is the daemon's: trace, debug, info, warning or error.
type LogLevel struct {
	Level string `json:"level"`
}
