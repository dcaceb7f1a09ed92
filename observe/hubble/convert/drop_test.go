package convert

import (
	"strings"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/sluice-net/sluice/internal/abi"
)

// TestReasonsAreComplete: every drop reason that programs give has a number that clients know.
func TestReasonsAreComplete(t *testing.T) {
	for r := abi.DropNone + 1; r < abi.DropReasons; r++ {
		want, ok := reasons[r]
		if r.Help() == "" || strings.HasPrefix(r.Help(), "RETIRED") {
			if ok {
				t.Errorf("reason %d is none, and has number %v", r, want)
			}
			continue
		}
		if _, known := flowpb.DropReason_name[int32(want)]; !ok || !known || want < 130 {
			t.Errorf("reason %d (%s) has number %d", r, r, want)
		}
	}
}
