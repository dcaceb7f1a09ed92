package driver

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// answered remembers what a Recorder was told.
type answered []string

func (a *answered) Answered(method string, status int, took time.Duration) {
	*a = append(*a, fmt.Sprint(method, " ", status, " ", took > 0))
}

// TestRecorder: calls of known methods are counted by what Docker was answered; what is no method adds no name.
func TestRecorder(t *testing.T) {
	var told answered
	s := newServer(t, newBackends())
	s.Recorder = &told
	post(t, s, "Plugin.Activate", nil)
	post(t, s, "NetworkDriver.CreateNetwork", nil)
	post(t, s, "IpamDriver.RequestAddress", []byte(`{"PoolID":"10.0.0.0/24"}`))
	post(t, s, "NetworkDriver.Nonsense", nil)
	want := answered{"Plugin.Activate 200 true", "NetworkDriver.CreateNetwork 400 true", "IpamDriver.RequestAddress 500 true"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}
