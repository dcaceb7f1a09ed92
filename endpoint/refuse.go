package endpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/service"
)

// errLabels: a container's labels, or the options of its endpoint, cannot be accepted.
var errLabels = errors.New("refused")

// refusal is why a container that runs already is closed: its labels became known only after its start, which they
// would have prevented.
type refusal struct {
	container Container
	err       error
}

// labelsOf returns an endpoint's labels as policy sees them: Docker's, the endpoint's options, the network's, what the
// user changed, and the container's name if it is mentioned. The error wraps errLabels: labels exceed the limits of
// identities, name no port where they should, or are no policy.
func (m *Manager) labelsOf(n *Network, e *Endpoint, change *LabelChange) (identity.Labels, error) {
	labels, err := identity.FromContainer(overlaid(e.Container.Labels, e.Options), n.title())
	if err == nil && change != nil {
		labels, err = labels.Apply(change.Add, change.Remove)
	}
	if err == nil {
		_, err = policy.LabelPolicy(labels)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLabels, err)
	}
	if m.mentioned(e.Container.Name) {
		labels[identity.LabelName] = e.Container.Name
	}
	return labels, nil
}

// checkPublished refuses labels that name a port of the container where they mean the one of the host: sluice.publish.80
// beside -p 8080:80 would leave 8080 open. A label for a port that is not published at all may stay: an image has it, or
// compose runs the service once, without ports.
func checkPublished(labels identity.Labels, ports []service.Mapping) error {
	p, err := policy.LabelPolicy(labels)
	if err != nil || p == nil {
		return err
	}
	for _, rule := range p.Rules[0].Publish {
		meant := func(m service.Mapping) bool { // or may be: an ephemeral port is not known yet
			return m.HostPort == 0 || m.HostPort <= rule.Port && rule.Port <= max(m.HostPort, m.HostPortEnd)
		}
		of := slices.IndexFunc(ports, func(m service.Mapping) bool { return m.Port == rule.Port })
		if rule.Port == 0 || of < 0 || slices.ContainsFunc(ports, meant) {
			continue
		}
		return fmt.Errorf("%w: label sluice.publish.%d: %d is a port of the container, and labels name the host's: write sluice.publish.%d",
			errLabels, rule.Port, rule.Port, ports[of].HostPort)
	}
	return nil
}

// overlaid returns labels with others in the place of those of the same keys.
func overlaid(labels, over map[string]string) map[string]string {
	if len(over) == 0 {
		return labels
	}
	all := maps.Clone(labels)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, over)
	return all
}

// checkOptions refuses options of an endpoint that would be refused as labels, at the first moment that they are known.
func checkOptions(options map[string]string) error {
	for key := range options {
		if identity.IsOwn(key) {
			return fmt.Errorf("driver-opt %s: Sluice sets it itself", key)
		}
	}
	labels, err := identity.FromContainer(options, "")
	if err == nil {
		err = policy.CheckLabels(labels)
	}
	if err != nil {
		return fmt.Errorf("driver-opt: %w", err)
	}
	return nil
}

// refuse keeps an endpoint closed whose container should not have started, and says so once.
func (m *Manager) refuse(ctx context.Context, e *Endpoint, c Container, err error) error {
	m.mu.Lock()
	old := m.refused[e.ID]
	m.refused[e.ID] = refusal{c, err}
	m.mu.Unlock()
	if old.err == nil || old.err.Error() != err.Error() {
		m.Log.WithError(err).WithField("container", c.Name).WithField("endpoint", short(e.ID)).Error(
			"the container stays closed: its labels are refused; make it again with others")
	}
	if !e.named() {
		return nil
	}
	closed := *e
	closed.Container, closed.Identity = Container{}, identity.Init
	closed.remember(nil)
	return m.save(ctx, &closed)
}

// accept forgets that an endpoint's labels were refused.
func (m *Manager) accept(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.refused, id)
}
