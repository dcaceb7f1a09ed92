package identity

import (
	"strconv"
)

// ID is the number of an identity: of a set of labels, or a reserved one.
type ID uint32

// The reserved identities, as in bpf/abi/types.h.
const (
	Unknown ID = 0
	Host    ID = 1   // an address of this host
	World   ID = 2   // neither endpoint nor host
	Init    ID = 5   // a container whose labels are not known yet
	First   ID = 256 // the first identity of labels
	// Last is the greatest identity: overlay headers carry identities in 24 bits (RFC 7348, section 5).
	Last ID = 1<<24 - 1
)

// The labels that Sluice itself adds to every endpoint.
const (
	LabelNetwork = "sluice.network" // name of the endpoint's network
	// LabelName is the container's name. Only containers that some policy names have it, for it sets replicas apart.
	LabelName = "sluice.name"
)

var reservedNames = map[ID]string{
	Unknown: "unknown",
	Host:    "host",
	World:   "world",
	Init:    "init",
}

// Reserved tells whether the identity is below those of labels.
func (id ID) Reserved() bool { return id < First }

// String is the reserved identity's name, else the number in decimal.
func (id ID) String() string {
	if name, ok := reservedNames[id]; ok {
		return name
	}
	return strconv.FormatUint(uint64(id), 10)
}
