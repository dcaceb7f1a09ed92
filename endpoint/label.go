package endpoint

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
)

// name enters what Docker told of an endpoint's container into its record: from then on the endpoint has the identity
// of its labels. The record is saved; the programs follow by regenerate.
func (m *Manager) name(ctx context.Context, n *Network, e *Endpoint, a Attachment) error {
	if a.NetworkName != "" && a.NetworkName != n.Name {
		renamed := *n
		renamed.Name = a.NetworkName
		if err := m.saveNetwork(ctx, &renamed); err != nil {
			return err
		}
		n = &renamed
	}
	e.Container = a.Container
	return m.identify(ctx, n, e)
}

// Relabel changes the live labels of an endpoint's container, on all its networks, and returns the generation that
// judges by them. Adding what is there or removing what is not succeeds.
func (m *Manager) Relabel(ctx context.Context, id string, change api.LabelChange) (uint64, error) {
	e, ok := m.endpoint(id)
	switch {
	case !ok:
		return 0, api.Errorf(api.CodeNotFound, "label endpoint %s: no such endpoint", short(id))
	case !e.named():
		return 0, api.Errorf(api.CodeConflict, "label endpoint %s: Docker has not told its container yet, try again", short(id))
	}
	container := e.Container.ID
	defer m.calls.lock("labels/" + container)()
	done, err := m.changeLabels(ctx, e, change)
	if err != nil {
		return 0, err
	}
	defer done()
	for _, e := range m.endpointsOfContainer(container) {
		if err := m.reidentify(ctx, e.ID); err != nil {
			return 0, err
		}
	}
	m.requestRegeneration()
	return m.currentGeneration(), nil
}

// changeLabels merges a change into the container's and makes it durable, after checking that the labels stay valid on
// all its networks, and announcing whom they mention; done ends that.
func (m *Manager) changeLabels(ctx context.Context, e *Endpoint, change api.LabelChange) (done func(), err error) {
	m.mu.RLock()
	old := m.changes[e.Container.ID]
	m.mu.RUnlock()
	merged := merge(old, change)
	var names []string
	for _, e := range m.endpointsOfContainer(e.Container.ID) {
		n, ok := m.network(e.NetworkID)
		if !ok {
			n = &Network{}
		}
		labels, err := m.labelsOf(n, e, merged)
		if err != nil {
			return nil, api.Errorf(api.CodeInvalid, "label container %s: %v", e.Container.Name, err)
		}
		names = append(names, namesOf(labels)...)
	}
	op, err := put(changePrefix+e.Container.ID, merged)
	if err != nil {
		return nil, err
	}
	if done, err = m.announce(ctx, names); err != nil {
		return nil, fmt.Errorf("label container %s: %w", e.Container.Name, err)
	}
	if err := m.Store.Apply(ctx, op); err != nil {
		done()
		return nil, fmt.Errorf("store labels of container %s: %w", e.Container.Name, err)
	}
	m.mu.Lock()
	m.changes[e.Container.ID] = merged
	m.mu.Unlock()
	return done, nil
}

// merge returns a change, which may be nil, followed by another.
func merge(old *LabelChange, change api.LabelChange) *LabelChange {
	merged := &LabelChange{Add: map[string]string{}}
	if old != nil {
		maps.Copy(merged.Add, old.Add)
		merged.Remove = slices.Clone(old.Remove)
	}
	for _, k := range change.Remove {
		key := identity.NormaliseKey(k)
		delete(merged.Add, key)
		if !slices.Contains(merged.Remove, key) {
			merged.Remove = append(merged.Remove, key)
		}
	}
	for k, v := range change.Add {
		key := identity.NormaliseKey(k)
		merged.Add[key] = v
		merged.Remove = slices.DeleteFunc(merged.Remove, func(r string) bool { return r == key })
	}
	return merged
}

// reidentify gives an endpoint the identity of its labels as they are now. The old one is released by the regeneration
// that ends its use: until then the tables of peers know both, so that no packet is lost in between.
func (m *Manager) reidentify(ctx context.Context, id string) error {
	defer m.calls.lock(id)()
	e, ok := m.endpoint(id)
	if !ok || !e.named() {
		return nil
	}
	n, ok := m.network(e.NetworkID)
	if !ok {
		return nil
	}
	changed := *e
	return m.identify(ctx, n, &changed)
}

// endpointsOfContainer returns the endpoints of a container, one a network.
func (m *Manager) endpointsOfContainer(containerID string) []*Endpoint {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []*Endpoint
	for _, e := range m.endpoints {
		if e.Container.ID == containerID {
			all = append(all, e)
		}
	}
	return all
}
