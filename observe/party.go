package observe

import "github.com/sluice-net/sluice/api"

// Party is who has an address. It is shared by flows and never changed: what changes gets a new one.
type Party struct {
	Number      uint32 // of the endpoint on this host, from 1; 0 for others
	EndpointID  string // Docker's id of it
	Container   string // its name
	ContainerID string
	Image       string
	Project     string // of compose, or the stack of swarm
	Service     string // of compose, or of swarm without the stack's name
	Network     string // its name
	Identity    uint32
	Labels      map[string]string // of the identity
	// DockerLabels are all labels that Docker has for the container, also those that identities leave out.
	DockerLabels map[string]string
	// Domains are the names by which the network's other containers ask Docker's DNS for it.
	Domains []string
	Entity  string // api.EntityHost or api.EntityWorld where there is no container
}

// nobody is the party of an address that nothing is known of.
var nobody = &Party{}

// DefaultNamespace is the namespace of containers of neither a compose project nor a swarm stack.
const DefaultNamespace = "default"

// IsContainer reports whether the party is a container, of this host or another.
func (p *Party) IsContainer() bool {
	return p.Entity == "" && (p.Container != "" || p.EndpointID != "" || p.Labels != nil)
}

// Namespace is what Hubble calls the container's compose project or swarm stack; empty for what is no container.
func (p *Party) Namespace() string {
	switch {
	case p.Project != "":
		return p.Project
	case p.IsContainer():
		return DefaultNamespace
	}
	return ""
}

// Workload is the container's service, else its own name; empty for what is no container.
func (p *Party) Workload() string {
	if p.Service != "" {
		return p.Service
	}
	return p.Container
}

// PodName is what Hubble calls the container's name; empty for what is no container.
func (p *Party) PodName() string { return p.Container }

// Name is a word for people: the container's name, host or world, else the id of the endpoint whose container is not
// known yet; empty if nothing is known.
func (p *Party) Name() string {
	switch {
	case p.Container != "":
		return p.Container
	case p.Entity != "":
		return p.Entity
	case len(p.EndpointID) > shortID:
		return p.EndpointID[:shortID]
	}
	return p.EndpointID
}

// IsHost reports whether the party is this host.
func (p *Party) IsHost() bool { return p.Entity == api.EntityHost }

// IsWorld reports whether the party is outside, and not a container.
func (p *Party) IsWorld() bool { return p.Entity == api.EntityWorld }
