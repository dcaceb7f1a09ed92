package policy

import (
	"net/netip"

	"github.com/sluice-net/sluice/identity"
)

// Verdict is what a policy says of a connection.
type Verdict uint8

// The verdicts, as in bpf/abi/policy.h.
const (
	Deny  Verdict = 0
	Allow Verdict = 1
)

// Class is what a peer is when no rule names its identity, as enum policy_class in bpf/abi/policy.h.
type Class uint8

// The classes of peers.
const (
	ClassNetwork Class = iota // a container of the same network
	ClassOther                // a container of another Sluice network
	ClassHost                 // this host
	ClassWorld                // everything else; CIDRs refine it
	Classes                   // how many there are
)

// Table is one direction of a container's policy, flattened: every question has exactly one answer, found by two
// searches (peer → profile, port → verdict). Datapath compiles it to instructions. Equal tables have equal Hash.
type Table struct {
	// Defaults are the profiles of peers that Identities does not list; ClassWorld's is for addresses outside CIDRs.
	Defaults [Classes]Profile
	// Identities are the peers that rules select, sorted by ID, without duplicates.
	Identities []IdentityProfile
	// CIDRs are disjoint, sorted address ranges (v4-mapped) of the class world.
	CIDRs []RangeProfile
	// Rules names the rules that verdicts refer to: verdict.Rule n is Rules[n-1].
	Rules []RuleRef
}

// Profile is a total function from (protocol, port) to a verdict: sorted entries, the first starts at key 0, each
// reaching to the next one's start. The key is protocol<<16 | port in host order; for ICMP and ICMPv6 the port is
// type<<8 | code.
type Profile []PortVerdict

// PortVerdict starts an interval of a Profile.
type PortVerdict struct {
	From    uint32
	Verdict Verdict
	Rule    uint16 // 1-based index into Table.Rules, 0: no rule
}

// IdentityProfile gives one peer identity its profile.
type IdentityProfile struct {
	ID      identity.ID
	Profile Profile
}

// RangeProfile gives the addresses First to Last (inclusive, 16-byte form) their profile.
type RangeProfile struct {
	First, Last netip.Addr
	Profile     Profile
}

// RuleRef names the rule that gave a verdict: policy name, and where it stands.
type RuleRef struct {
	Policy string // name of the policy document
	Rule   string // for example "ingress[0].toPorts[1]"
}
