package endpoint

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api"
)

// recorded are the subjects of the recordings that a daemon started now would have.
func (w *world) recorded() []string {
	w.t.Helper()
	w.must(w.expireRecordings(context.Background()))
	w.start()
	var subjects []string
	for subject := range w.recordings {
		subjects = append(subjects, subject)
	}
	slices.Sort(subjects)
	return subjects
}

// TestRecordingsExpire: what a container did that is no more is kept for a while, for it may come back.
func TestRecordingsExpire(t *testing.T) {
	w := shop(t)
	w.send(w.learned("c4", api.Egress, "10.1.1.4:40000", "10.1.1.1:80"), w.learned("c1", api.Egress, "10.1.1.1:40000", "10.1.1.3:80"))
	w.must(w.stop(1, 4))
	w.later(recordingAge - time.Hour)
	if got := w.recorded(); !slices.Equal(got, []string{"c4", "shop/web"}) {
		t.Errorf("after a while: %q", got)
	}
	w.later(2 * time.Hour)
	if got := w.recorded(); !slices.Equal(got, []string{"shop/web"}) {
		t.Errorf("after long: %q", got)
	}
}

// TestRecordingsAreBounded: of too many, those without containers go that were idle the longest.
func TestRecordingsAreBounded(t *testing.T) {
	w := shop(t)
	w.send(w.learned("c4", api.Egress, "10.1.1.4:40000", "10.1.1.1:80"))
	old := w.now().Add(time.Minute)
	for i := range mostRecordings + 2 {
		subject := fmt.Sprintf("gone-%04d", i)
		w.recordings[subject] = &Recording{Subject: subject, Since: old.Add(time.Duration(i) * time.Second)}
		w.unsaved[subject] = true
	}
	w.saveRecordings(context.Background())
	got := w.recorded()
	if len(got) != mostRecordings || got[0] != "c4" || got[1] != "gone-0003" {
		t.Errorf("%d are left, the first are %q", len(got), got[:2])
	}
}
