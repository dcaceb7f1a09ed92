package endpoint

import (
	"sync"
	"testing"
	"time"
)

// outcomes counts what a Recorder was told.
type outcomes struct {
	mu                       sync.Mutex
	replaced, kept           int
	passed, abandoned, short int
}

func (o *outcomes) Replaced(took time.Duration, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.replaced++
	} else {
		o.kept++
	}
	if took <= 0 {
		o.short++
	}
}

func (o *outcomes) Passed(took time.Duration, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.passed++
	} else {
		o.abandoned++
	}
	if took <= 0 {
		o.short++
	}
}

// TestRecorder: each replacement of programs and each pass is told with its outcome.
func TestRecorder(t *testing.T) {
	w := base(t)
	told := &outcomes{}
	w.Recorder = told
	all, err := w.Endpoints(t.Context())
	w.must(err)
	_, err = w.Regenerate(t.Context(), []string{all[0].ID})
	w.must(err)
	if told.replaced != 1 || told.passed != 1 || told.kept+told.abandoned+told.short > 0 {
		t.Errorf("after one regeneration: %+v", told)
	}
	w.kernel.set(func(int, string) bool { return true })
	_, err = w.Regenerate(t.Context(), []string{all[0].ID})
	w.must(err)
	w.kernel.set(nil)
	if told.replaced != 1 || told.kept != 1 || told.passed != 2 {
		t.Errorf("after one that failed: %+v", told)
	}
}
