package command

import (
	"testing"

	"github.com/sluice-net/sluice/api/server/servertest"
)

func TestLogLevel(t *testing.T) {
	f := servertest.Sample()
	if got := sluice(t, f, "log", "level", "set", "debug"); got != (result{}) {
		t.Errorf("set: %+v", got)
	}
	if got := sluice(t, f, "log", "level", "get"); got.out != "debug\n" {
		t.Errorf("get: %+v", got)
	}
}
