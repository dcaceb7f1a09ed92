package endpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/store"
)

// identify gives the endpoint the identity of its labels, and saves both.
func (m *Manager) identify(ctx context.Context, n *Network, e *Endpoint) error {
	for {
		change := m.labelChange(e.Container.ID)
		mentioned := m.mentioned(e.Container.Name)
		labels, err := m.labelsOf(n, e, change)
		if err != nil {
			return fmt.Errorf("labels of container %s: %w", e.Container.Name, err)
		}
		if err := m.saveAs(ctx, e, labels); err != nil {
			return err
		}
		if m.labelChange(e.Container.ID) == change && m.mentioned(e.Container.Name) == mentioned {
			return nil
		}
		// A change came in between, and did not see this endpoint as the container's yet.
		again := *e
		e = &again
	}
}

// labelChange returns what the user changed of a container's labels, nil if nothing.
func (m *Manager) labelChange(containerID string) *LabelChange {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.changes[containerID]
}

// saveAs saves the record of an endpoint with the identity of these labels. The identity that it had is retired: until
// a pass has ended its use, the tables of peers know both, so that no packet is lost in between.
func (m *Manager) saveAs(ctx context.Context, e *Endpoint, labels identity.Labels) error {
	old := e.Identity
	id, ops, unlock, err := m.acquireIdentity(labels)
	if err != nil {
		return fmt.Errorf("identity of container %s: %w", e.Container.Name, err)
	}
	defer unlock()
	e.Identity = id
	e.remember(labels)
	if err := m.save(ctx, e, ops...); err != nil {
		e.Identity = old
		_, undo := m.identities.Release(id) // nothing of it is in the store
		return errors.Join(err, undo)
	}
	if id == old {
		_, err := m.identities.Release(id) // it was held already
		return err
	}
	return nil
}

// acquireIdentity holds the identity of the labels. A new one comes with the writes that make it durable, and with
// numbers locked until the caller has done them.
func (m *Manager) acquireIdentity(labels identity.Labels) (id identity.ID, ops []store.Op, unlock func(), err error) {
	m.numbers.Lock()
	id, created, err := m.identities.Acquire(labels)
	if err != nil || !created {
		m.numbers.Unlock()
		return id, nil, func() {}, err
	}
	record, err := put(fmt.Sprintf("%s%d", identityPrefix, id), identity.Record{ID: id, Labels: labels})
	if err == nil {
		var next store.Op
		if next, err = put(identityKey, m.identities.Next()); err == nil {
			return id, []store.Op{record, next}, m.numbers.Unlock, nil
		}
	}
	_, undo := m.identities.Release(id)
	m.numbers.Unlock()
	return 0, nil, nil, errors.Join(err, undo)
}

// releaseIdentity gives one hold of an identity back. With the last one its record goes, before the number is free: no
// two records ever have the same labels.
func (m *Manager) releaseIdentity(ctx context.Context, id identity.ID) error {
	if id.Reserved() {
		return nil
	}
	m.numbers.Lock()
	defer m.numbers.Unlock()
	if m.identities.Holders(id) == 1 {
		if err := m.Store.Apply(ctx, store.Remove(fmt.Sprintf("%s%d", identityPrefix, id))); err != nil {
			return fmt.Errorf("forget identity %s: %w", id, err)
		}
	}
	_, err := m.identities.Release(id)
	return err
}
