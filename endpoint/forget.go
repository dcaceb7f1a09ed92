package endpoint

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-net/sluice/store"
)

// A recording outlives its containers, which may only be made anew; but not for ever, and not in any number.
const (
	// recordingAge is how long after its last flow a recording without containers is kept.
	recordingAge = 30 * 24 * time.Hour
	// mostRecordings bounds the recordings; beyond it those without containers go that were idle the longest.
	mostRecordings = 1000
	// expirePeriod is how often that is looked at.
	expirePeriod = time.Hour
)

// last is when the recording's last flow was seen.
func (r *Recording) last() time.Time {
	last := r.Since
	for _, f := range r.Flows {
		if f.Last.After(last) {
			last = f.Last
		}
	}
	return last
}

// tooMany tells whether there are more recordings than there may be.
func (m *Manager) tooMany() bool {
	m.learning.Lock()
	defer m.learning.Unlock()
	return len(m.recordings) > mostRecordings
}

// expireRecordings forgets what containers did that are no more.
func (m *Manager) expireRecordings(ctx context.Context) error {
	present := map[string]bool{}
	m.mu.RLock()
	for _, e := range m.endpoints {
		labels, _ := m.identities.Labels(e.Identity)
		present[groupOf(labels, e)] = true
	}
	m.mu.RUnlock()
	m.learning.Lock()
	defer m.learning.Unlock()
	var absent []*Recording
	for subject, r := range m.recordings {
		if !present[subject] {
			absent = append(absent, r)
		}
	}
	lasts := map[*Recording]time.Time{}
	for _, r := range absent {
		lasts[r] = r.last()
	}
	slices.SortFunc(absent, func(a, b *Recording) int {
		return cmp.Or(lasts[a].Compare(lasts[b]), cmp.Compare(a.Subject, b.Subject))
	})
	oldest, surplus := m.Now().Add(-recordingAge), len(m.recordings)-mostRecordings
	for i, r := range absent {
		if i >= surplus && !lasts[r].Before(oldest) {
			return m.drop(ctx, absent[:i]...)
		}
	}
	return m.drop(ctx, absent...)
}

// drop forgets recordings. The caller holds learning.
func (m *Manager) drop(ctx context.Context, recordings ...*Recording) error {
	subjects := map[string]bool{}
	var ops []store.Op
	for _, r := range recordings {
		subjects[r.Subject] = true
		ops = append(ops, store.Remove(learnPrefix+r.Subject))
	}
	if len(ops) == 0 {
		return nil
	}
	if err := m.Store.Apply(ctx, ops...); err != nil {
		return fmt.Errorf("forget what was learned: %w", err)
	}
	maps.DeleteFunc(m.recordings, func(subject string, _ *Recording) bool { return subjects[subject] })
	maps.DeleteFunc(m.unsaved, func(subject string, _ bool) bool { return subjects[subject] })
	return nil
}

// forget drops what was seen of a subject.
func (m *Manager) forget(ctx context.Context, subject string) error {
	m.learning.Lock()
	defer m.learning.Unlock()
	return m.drop(ctx, &Recording{Subject: subject})
}
