package convert

import (
	"maps"
	"slices"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// DefaultNamespace is that of containers of no compose project and no swarm stack.
const DefaultNamespace = "default"

// The kinds of workloads.
const (
	kindService   = "Service"   // of compose or swarm
	kindContainer = "Container" // one by itself
)

// The sources of labels: what Kubernetes would have, what Docker has, what is reserved.
const (
	SourceKubernetes = "k8s"
	SourceContainer  = "container"
	SourceReserved   = "reserved"
)

// Labels that Hubble's clients look for.
const (
	labelApp       = "app"
	labelNamespace = "io.kubernetes.pod.namespace"
)

// composeLabels are the long names of labels that identities have by short ones.
var composeLabels = map[string]string{
	identity.LabelProject: "com.docker.compose.project",
	identity.LabelService: "com.docker.compose.service",
}

// Label is one label of a party.
type Label struct{ Source, Key, Value string }

// String returns the label as messages have it.
func (l Label) String() string {
	if l.Value == "" {
		return l.Source + ":" + l.Key
	}
	return l.Source + ":" + l.Key + "=" + l.Value
}

// isContainer reports whether the party is one.
func isContainer(p *observe.Party) bool { return p != nil && (p.EndpointID != "" || p.Container != "") }

// Namespace returns what stands for Kubernetes' namespace: the compose project or the swarm stack, else DefaultNamespace;
// nothing of what is no container.
func Namespace(p *observe.Party) string {
	switch {
	case !isContainer(p):
		return ""
	case p.Project != "":
		return p.Project
	}
	return DefaultNamespace
}

// Pod returns the name of the container.
func Pod(p *observe.Party) string {
	if p == nil {
		return ""
	}
	return p.Container
}

// Workload returns what the container is one of: its service, else itself.
func Workload(p *observe.Party) (name, kind string) {
	switch {
	case !isContainer(p):
		return "", ""
	case p.Service != "":
		return p.Service, kindService
	}
	return p.Container, kindContainer
}

// reserved are the names of identities that no labels have.
var reserved = map[uint32]string{
	abi.IdentityUnknown: "unknown", abi.IdentityHost: api.EntityHost, abi.IdentityWorld: api.EntityWorld, abi.IdentityInit: "init",
}

// Labels returns the labels of a party, sorted as messages have them.
func Labels(p *observe.Party) []Label {
	if p == nil {
		return nil
	}
	if name, ok := reserved[p.Identity]; ok {
		return []Label{{Source: SourceReserved, Key: name}}
	}
	all := make([]Label, 0, len(p.Labels)+4)
	for _, key := range slices.Sorted(maps.Keys(p.Labels)) {
		all = append(all, Label{SourceContainer, key, p.Labels[key]})
		if long, ok := composeLabels[key]; ok {
			all = append(all, Label{SourceContainer, long, p.Labels[key]})
		}
	}
	if name, _ := Workload(p); name != "" {
		all = append(all, Label{SourceKubernetes, labelApp, name}, Label{SourceKubernetes, labelNamespace, Namespace(p)})
	}
	return all
}

// endpoint is the message of one end of a flow.
func (c *Converter) endpoint(p *observe.Party) *flowpb.Endpoint {
	if p == nil {
		return nil
	}
	m := &flowpb.Endpoint{ID: p.Number, Identity: p.Identity, Namespace: Namespace(p), PodName: Pod(p)}
	if isContainer(p) {
		m.ClusterName = c.options.Cluster
	}
	for _, l := range Labels(p) {
		m.Labels = append(m.Labels, l.String())
	}
	if name, kind := Workload(p); name != "" {
		m.Workloads = []*flowpb.Workload{{Name: name, Kind: kind}}
	}
	return m
}

// ClusterName returns the cluster of a party, empty of what is no container.
func (c *Converter) ClusterName(p *observe.Party) string {
	if !isContainer(p) {
		return ""
	}
	return c.options.Cluster
}

// SourceService returns the service, and its namespace, by whose published port the source was reached, if the flow
// answers such a request.
func SourceService(f *observe.Flow) (name, namespace string) {
	if f.Kernel.Reply == 0 {
		return "", ""
	}
	return published(f, f.Source, f.Destination)
}

// DestinationService returns the service, and its namespace, by whose published port the destination is reached.
func DestinationService(f *observe.Flow) (name, namespace string) {
	if f.Kernel.Reply != 0 {
		return "", ""
	}
	return published(f, f.Destination, f.Source)
}

// published names the service behind a published port. Hubble's page hides flows that have a service and the world as
// the other end, so these go without.
func published(f *observe.Flow, server, client *observe.Party) (name, namespace string) {
	if f.Published == 0 || client == nil || client.Identity == abi.IdentityWorld {
		return "", ""
	}
	name, _ = Workload(server)
	return name, Namespace(server)
}

func service(name, namespace string) *flowpb.Service {
	if name == "" {
		return nil
	}
	return &flowpb.Service{Name: name, Namespace: namespace}
}
