package server

import (
	"context"
	"net/netip"

	"github.com/sluice-net/sluice/api"
)

// Backend is what the handlers serve. A nil field answers with api.CodeUnavailable. All methods are called
// concurrently, and their contexts end with the request. Errors that wrap *api.Error keep its code, all others become
// api.CodeInternal.
//
// The backends list; package server finds the object that a user's name, id or prefix means in the list, and calls
// the other methods with exact ids.
type Backend struct {
	Version    api.Version
	Status     Status
	Networks   Networks
	Endpoints  Endpoints
	Identities Identities
	Policies   Policies
	Insight    Insight
	Files      PolicyFiles
	Revisions  Revisions
	Ports      Ports
	Kernel     Kernel
	Events     Events
	Traffic    Traffic
	Captures   Captures
	Log        Log
}

// Status tells how the daemon is.
type Status interface {
	Status(ctx context.Context) (api.Status, error)
}

// Networks lists the networks.
type Networks interface {
	Networks(ctx context.Context) ([]api.Network, error)
}

// Endpoints lists and changes endpoints.
type Endpoints interface {
	Endpoints(ctx context.Context) ([]api.Endpoint, error)
	// Relabel changes the live labels of an endpoint's container and returns the revision that judges by them
	// everywhere. It does not wait for it (Revisions does). Adding what is there or removing what is not succeeds.
	Relabel(ctx context.Context, id string, change api.LabelChange) (revision uint64, err error)
	// Regenerate makes and swaps the endpoints' programs anew, and returns when that is done, with one result for
	// each id, failed ones included.
	Regenerate(ctx context.Context, ids []string) ([]api.Regeneration, error)
}

// Identities lists the identities in use, the reserved ones included.
type Identities interface {
	Identities(ctx context.Context) ([]api.Identity, error)
}

// Policies keeps the policy documents.
type Policies interface {
	Policies(ctx context.Context) ([]api.Policy, error)
	// ApplyPolicies stores all documents of all sources, or none: a refused one is an *api.Error of CodeInvalid with
	// a Problem for each place. It does not wait for the regenerations (Revisions does).
	ApplyPolicies(ctx context.Context, sources []api.PolicySource) (api.Change, error)
	// ValidatePolicies refuses what ApplyPolicies would refuse and stores nothing.
	ValidatePolicies(ctx context.Context, sources []api.PolicySource) ([]api.PolicyResult, error)
	// DeletePolicies deletes documents by their exact names, all or none.
	DeletePolicies(ctx context.Context, names []string) (api.Change, error)
}

// Insight answers questions about policy.
type Insight interface {
	// Explain understands the ends as users write them; resolve gives the ids of the endpoints that a reference means.
	Explain(ctx context.Context, r api.ExplainRequest, resolve func(ref string) ([]string, error)) (api.Explanation, error)
	DiffPolicies(ctx context.Context, sources []api.PolicySource) (api.PolicyDiff, error)
	// Exposed lists the ways into the endpoints of these ids, all if ids is nil. allow, unless nil, is a list of what may
	// be exposed; CodeInvalid if it cannot be read.
	Exposed(ctx context.Context, ids []string, allow *string) ([]api.Exposure, error)
	// Graph lists what concerns the endpoints of these ids, everything if ids is nil.
	Graph(ctx context.Context, ids []string) ([]api.Edge, error)
	// Learn answers for the endpoints of these ids, which have one policy.
	Learn(ctx context.Context, ids []string, r api.LearnRequest) (api.Learned, error)
	// Hint is the change that would allow what an event denied, in one line, or empty. It is asked for every event that
	// somebody reads: it answers from memory most of the time.
	Hint(e api.Event) string
}

// PolicyFiles lists the files of the policy directory.
type PolicyFiles interface {
	PolicyFiles(ctx context.Context) ([]api.PolicyFile, error)
}

// Revisions waits for regenerations.
type Revisions interface {
	// Wait returns when every endpoint that changes up to the revision touch runs a program made after them, or its
	// program could not be made: one result for each endpoint that the revision touched. When the context ends first
	// it returns what is finished with an error of CodeUnavailable that names how many endpoints are missing.
	Wait(ctx context.Context, revision uint64) ([]api.Regeneration, error)
}

// Ports lists the published ports.
type Ports interface {
	Ports(ctx context.Context) ([]api.Port, error)
}

// Kernel reads the tables of the BPF programs.
type Kernel interface {
	// Connections calls yield for each live entry of the flow tables until it returns false.
	Connections(ctx context.Context, yield func(api.Connection) bool) error
	Addresses(ctx context.Context) ([]api.AddressEntry, error)
	// PolicyEntries returns the verdict tables of the running programs of the endpoints, all if none is named.
	PolicyEntries(ctx context.Context, ids []string) ([]api.PolicyEntry, error)
	Metrics(ctx context.Context) ([]api.Metric, error)
}

// Events gives events to whoever listens (implemented by package observe).
type Events interface {
	// Subscribe sends the events that pass the filter until the context ends, and then closes the channel; without
	// Follow it closes it after those of the past. A slow reader loses events and gets one api.EventLost instead.
	Subscribe(ctx context.Context, filter api.EventFilter) (<-chan api.Event, error)
}

// Traffic makes rates (implemented by package observe/traffic).
type Traffic interface {
	// Watch calls yield for every sample until the request's count is reached, yield fails or the context ends.
	Watch(ctx context.Context, r api.TrafficRequest, yield func(api.Traffic) error) error
}

// Captures captures packets (implemented by package observe/capture).
type Captures interface {
	// Capture calls yield for the packets of containers, by their names, until
	// yield fails or the context ends. What is too much for yield is lost, and told. addrs are those of a name in the filter.
	Capture(ctx context.Context, containers []string, r api.CaptureRequest, addrs func(name string) []netip.Addr, yield func(api.Captured) error) error
}

// Log reads and changes the daemon's log level.
type Log interface {
	LogLevel() string
	SetLogLevel(level string) error // CodeInvalid if there is no such level
}
