package endpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// Capture makes the programs of containers capture so many bytes of every packet, by the containers' names, and those of all
// others none; also of containers of these names that start later. It returns when the programs do; an error names those that
// do not. Nothing of it is stored: a daemon that starts gives every container programs that do not capture.
func (m *Manager) Capture(ctx context.Context, lengths map[string]uint32) error {
	m.mu.Lock()
	if maps.Equal(m.captures, lengths) {
		m.mu.Unlock()
		return nil
	}
	m.captures = maps.Clone(lengths)
	m.generation++
	m.mu.Unlock()
	if err := m.regenerate(ctx, ""); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var errs []error
	for id, e := range m.endpoints {
		if r := m.running[id]; r != nil && r.failure != nil && lengths[e.Container.Name] > 0 {
			errs = append(errs, fmt.Errorf("load programs of container %s that capture: %w", e.Container.Name, r.failure))
		}
	}
	return errors.Join(errs...)
}
