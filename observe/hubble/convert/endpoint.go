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

// Workload returns what the container is one of: its service, else itself.
func Workload(p *observe.Party) (name, kind string) {
	switch {
	case p.Workload() == "":
		return "", ""
	case p.Service != "":
		return p.Service, kindService
	}
	return p.Workload(), kindContainer
}

// reserved are the names of identities that no labels have.
var reserved = map[uint32]string{
	abi.IdentityUnknown: "unknown", abi.IdentityHost: api.EntityHost, abi.IdentityWorld: api.EntityWorld, abi.IdentityInit: "init",
}

// Labels returns the labels of a party, sorted as messages have them.
func Labels(p *observe.Party) []Label {
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
		all = append(all, Label{SourceKubernetes, labelApp, name}, Label{SourceKubernetes, labelNamespace, p.Namespace()})
	}
	return all
}

// mostParties bounds the parties whose labels are kept ready. A host has some thousands at most.
const mostParties = 1 << 13

// labelled are the labels of a party, ready for messages and for filters.
type labelled struct {
	labels []Label
	texts  []string
}

// Labels returns the labels of a party, as the function does, without making them anew each time. They are shared: the
// caller must not change them.
func (c *Converter) Labels(p *observe.Party) []Label { return c.labelled(p).labels }

// labelled keeps what was made: parties never change.
func (c *Converter) labelled(p *observe.Party) *labelled {
	if known, ok := c.parties.Load(p); ok {
		return known.(*labelled)
	}
	l := &labelled{labels: Labels(p)}
	for _, label := range l.labels {
		l.texts = append(l.texts, label.String())
	}
	if c.known.Add(1) > mostParties {
		c.parties.Clear()
		c.known.Store(1)
	}
	c.parties.Store(p, l)
	return l
}

// endpoint is the message of one end of a flow.
func (c *Converter) endpoint(p *observe.Party) *flowpb.Endpoint {
	m := &flowpb.Endpoint{ID: p.Number, Identity: p.Identity, Namespace: p.Namespace(), PodName: p.PodName(), Labels: c.labelled(p).texts}
	if p.IsContainer() {
		m.ClusterName = c.options.Cluster
	}
	if name, kind := Workload(p); name != "" {
		m.Workloads = []*flowpb.Workload{{Name: name, Kind: kind}}
	}
	return m
}

// ClusterName returns the cluster of a party, empty of what is no container.
func (c *Converter) ClusterName(p *observe.Party) string {
	if !p.IsContainer() {
		return ""
	}
	return c.options.Cluster
}

// SourceService returns the service, and its namespace, by whose published port the source was reached, if the flow
// answers such a request.
func SourceService(f *observe.Flow) (name, namespace string) {
	if f.Reply() != observe.ReplyTrue {
		return "", ""
	}
	return published(f, f.Source, f.Destination)
}

// DestinationService returns the service, and its namespace, by whose published port the destination is reached.
func DestinationService(f *observe.Flow) (name, namespace string) {
	if f.Reply() == observe.ReplyTrue {
		return "", ""
	}
	return published(f, f.Destination, f.Source)
}

// published names the service behind a published port. Hubble's page hides flows that have a service and the world as
// the other end, so these go without.
func published(f *observe.Flow, server, client *observe.Party) (name, namespace string) {
	if f.Published == 0 || client.IsWorld() {
		return "", ""
	}
	name, _ = Workload(server)
	return name, server.Namespace()
}

func service(name, namespace string) *flowpb.Service {
	if name == "" {
		return nil
	}
	return &flowpb.Service{Name: name, Namespace: namespace}
}
