package identity

// ID is the number of an identity: of a set of labels, or a reserved one.
type ID uint32

// The reserved identities, as in bpf/abi/types.h.
const (
	Unknown ID = 0
	Host    ID = 1   // an address of this host
	World   ID = 2   // neither endpoint nor host
	Init    ID = 5   // a container whose labels are not known yet
	First   ID = 256 // the first identity of labels
)

// Labels are a container's labels as policy sees them: key → value, keys without a source prefix.
type Labels map[string]string

// The labels that Sluice itself adds to every endpoint.
const (
	LabelNetwork = "sluice.network" // name of the endpoint's network
)
