package command

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server/servertest"
)

func TestStatus(t *testing.T) {
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		t.Run(format, func(t *testing.T) { goldenRun(t, "status/"+format+".txt", "status", "-o", format) })
	}
}

func TestStatusExports(t *testing.T) {
	f := servertest.Sample()
	f.StatusValue.Exports = []api.Export{
		{Name: "drops", Type: "file", Target: "/var/log/sluice/drops.json", State: api.ExportUp, Exported: 731, Source: "/etc/sluice/export.d/a.yaml"},
		{Name: "otel", Type: "otlp", Target: "http://127.0.0.1:4317", State: api.ExportDown, Exported: 48210, Failed: 3, Lost: 112, Waiting: 9871,
			LastError: "send spans: connection refused", LastErrorTime: time.Now().Add(-3 * time.Hour)},
	}
	got := sluice(t, f, "status")
	for _, want := range []string{
		`EXPORT +STATE +TARGET +EXPORTED +FAILED +LOST +WAITING +LAST ERROR`,
		`drops +up +/var/log/sluice/drops\.json +731 +0 +0 +0`,
		`otel +down +http://127\.0\.0\.1:4317 +48210 +3 +112 +9871 .*send spans: connection refused`,
	} {
		if !regexp.MustCompile(want).MatchString(got.out) {
			t.Errorf("no %q in:\n%s", want, got.out)
		}
	}
	if strings.Contains(got.out, "a.yaml") || !strings.Contains(sluice(t, f, "status", "-o", "wide").out, "/etc/sluice/export.d/a.yaml") {
		t.Error("the file is to be shown with -o wide")
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
