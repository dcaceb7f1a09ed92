package command

import (
	"strings"
	"testing"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server/servertest"
)

func TestStatus(t *testing.T) {
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		t.Run(format, func(t *testing.T) { goldenRun(t, "status/"+format+".txt", "status", "-o", format) })
	}
}

func TestStatusCheck(t *testing.T) {
	f := servertest.Sample()
	if got := sluice(t, f, "status", "--check"); got.code != exitGood {
		t.Errorf("a ready daemon: %+v", got)
	}
	f.StatusValue.State = "degraded"
	f.StatusValue.Checks[0] = api.Check{Name: "docker", Detail: "does not answer; is dockerd running?"}
	got := sluice(t, f, "status", "--check")
	if got.code != exitRefused || !strings.Contains(got.err, "it is degraded") {
		t.Errorf("a degraded daemon: exit code %d, stderr %q", got.code, got.err)
	}
	if !strings.Contains(got.out, "docker   FAILS   does not answer") {
		t.Errorf("the failing check is not shown:\n%s", got.out)
	}
	if got := sluice(t, f, "status"); got.code != exitGood {
		t.Errorf("without --check: %+v", got)
	}
}
