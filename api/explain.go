package api

import (
	"net/netip"
	"time"
)

// ExplainRequest is the body of POST /v1/policy/explain. From and To are written as for "sluice policy explain".
type ExplainRequest struct {
	From string `json:"from"`
	To   string `json:"to"` // with :port and /protocol
	// With are documents to be judged as if they were applied; the loaded programs are not asked then.
	With []PolicySource `json:"with,omitempty"`
}

// VerdictPartly is what an explanation says, beside VerdictAllowed, VerdictDenied and VerdictAudit: allowed for some ports,
// ways or addresses, denied for others.
const VerdictPartly = "partly"

// Explanation says whether FROM may open a connection to TO, and why.
type Explanation struct {
	From    string          `json:"from"`
	To      string          `json:"to"`
	Port    string          `json:"port"` // tcp 5432, icmp type 8, or any where none was asked for
	Verdict string          `json:"verdict"`
	Paths   []ExplainedPath `json:"paths"`
	// Notes are what the answer leaves open, for example replicas that were not looked at.
	Notes []string `json:"notes,omitempty"`
}

// ExplainedPath is one way from one end to another, for one protocol and range of ports.
type ExplainedPath struct {
	Source      Party  `json:"source"`
	Destination Party  `json:"destination"`
	Ports       string `json:"ports"` // of Destination: tcp 5432, tcp 1-79, any
	// Published is the port of the host by which the way leads, 0 if by none.
	Published uint16        `json:"published,omitempty"`
	Verdict   string        `json:"verdict"`
	Steps     []ExplainStep `json:"steps"`
	// Flip is the smallest change that would give the other answer; of several remedies, all are needed.
	Flip []Remedy `json:"flip,omitempty"`
}

// The kinds of steps beside Egress and Ingress.
const (
	StepRoute   = "route"   // whether there is a way at all
	StepPublish = "publish" // who may use a published port
)

// How a step was judged.
const (
	ByProgram = "program" // the loaded program, by a packet that went through it
	ByTable   = "table"   // the table that the program was, or would be, made from
)

// ExplainStep is one question on the way.
type ExplainStep struct {
	Step      string `json:"step"` // Egress, Ingress, StepPublish or StepRoute
	Container string `json:"container,omitempty"`
	Network   string `json:"network,omitempty"`
	Verdict   string `json:"verdict"` // VerdictAllowed, VerdictDenied or VerdictAudit
	Policy    string `json:"policy,omitempty"`
	Rule      string `json:"rule,omitempty"`   // place in the policy; empty: no rule is about it
	Source    string `json:"source,omitempty"` // file:line of the rule
	Why       string `json:"why"`
	Revision  uint32 `json:"revision,omitempty"`
	By        string `json:"by,omitempty"` // ByProgram or ByTable
}

// Remedy is a change of policy, ready to be pasted.
type Remedy struct {
	Verdict string `json:"verdict"` // what the answer would be
	// Container gets Labels, new values of keys; empty: the label goes.
	Container string            `json:"container,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	// Remove are rules to take out of their documents, with file and line.
	Remove []string `json:"remove,omitempty"`
	Policy string   `json:"policy,omitempty"` // YAML to apply
	// Commands do the same to the running containers.
	Commands []string `json:"commands,omitempty"`
	Note     string   `json:"note,omitempty"` // why there is no change, or what else it means
}

// PolicyDiff is what documents would change if they were applied.
type PolicyDiff struct {
	Policies    []PolicyResult     `json:"policies"`
	Pairs       []PairChange       `json:"pairs"`
	Connections []ConnectionChange `json:"connections"`
	Endpoints   int                `json:"endpoints"` // whose programs would change
}

// PairChange is what one end may open to another after a change and not before, and the other way round. Ends are
// compose services (project/service), containers, @host, @lan, @internet, or prefixes; ports are written "tcp 80,443; icmp".
type PairChange struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Opened string `json:"opened,omitempty"`
	Closed string `json:"closed,omitempty"`
}

// What would become of a live connection.
const (
	ConnectionCut    = "cut"
	ConnectionOpened = "allowed" // it is denied now
)

// ConnectionChange is a live connection of which a change of policy would change the verdict.
type ConnectionChange struct {
	Change      string         `json:"change"` // ConnectionCut or ConnectionOpened
	From        string         `json:"from"`
	To          string         `json:"to"`
	Protocol    string         `json:"protocol"`
	Source      netip.AddrPort `json:"source"`
	Destination netip.AddrPort `json:"destination"`
	Rule        string         `json:"rule,omitempty"` // that decides after the change; empty: no rule is about it
}

// ExposedRequest is the body of POST /v1/policy/exposed.
type ExposedRequest struct {
	Refs []string `json:"refs,omitempty"` // only these endpoints
	// Allow is a list of what may be exposed (docs/understand.md); nil: everything.
	Allow *string `json:"allow,omitempty"`
}

// Exposure is a way into a container.
type Exposure struct {
	Container string     `json:"container"` // compose project/service, else the container's name
	Network   string     `json:"network"`
	Address   netip.Addr `json:"address"` // the container's; of the host if Published, unspecified: all of its family
	Published bool       `json:"published"`
	Ports     string     `json:"ports"`            // tcp 80,443; icmp
	Target    uint16     `json:"target,omitempty"` // the container's port, if Published
	From      string     `json:"from"`             // @net, @other, @host, @lan, @internet, prefixes, a service or a container
	Policy    string     `json:"policy,omitempty"`
	Rule      string     `json:"rule,omitempty"` // empty: no rule restricts it
	Source    string     `json:"source,omitempty"`
	// Mode is audit or learn where it passes only for that; Rule is the one that denies it.
	Mode   string `json:"mode,omitempty"`
	Beyond string `json:"beyond,omitempty"` // the ports that the list does not allow
}

// Edge is what one end may open to another, both policies and the way there considered. For the ends see PairChange.
type Edge struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Ports string `json:"ports"`
	// Unenforced are those that pass only because a container is in mode audit or learn.
	Unenforced string `json:"unenforced,omitempty"`
}

// LearnRequest is the body of POST /v1/policy/learn. Ref is a container or a compose service.
type LearnRequest struct {
	Ref    string `json:"ref"`
	Format string `json:"format,omitempty"` // labels (the default), yaml or cnp
	Reset  bool   `json:"reset,omitempty"`  // forget what was recorded, after the answer
}

// The formats of learned policies.
const (
	LearnLabels = "labels"
	LearnYAML   = "yaml"
	LearnCNP    = "cnp"
)

// Learned is the tightest policy that covers what a container was seen to do.
type Learned struct {
	Subject string    `json:"subject"` // compose project/service, else the container's name
	Since   time.Time `json:"since"`
	Mode    string    `json:"mode"` // of the containers now: enforce, audit or learn
	// Flows are what was seen, aggregated; Lost is how many events the kernel could not report.
	Flows  []LearnedFlow `json:"flows"`
	Lost   uint64        `json:"lost,omitempty"`
	Policy string        `json:"policy"` // in the format that was asked for
}

// LearnedFlow is a peer and a port that were seen.
type LearnedFlow struct {
	Direction string    `json:"direction"` // Egress or Ingress, or StepPublish with the host's port
	Peer      string    `json:"peer"`      // as a label writes it
	Ports     string    `json:"ports"`
	Count     uint64    `json:"count"`
	Last      time.Time `json:"last"`
}
