package command

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	for _, format := range []string{"table", "json", "yaml"} {
		t.Run(format, func(t *testing.T) { goldenRun(t, "version/"+format+".txt", "version", "-o", format) })
	}
}

func TestVersionWithoutDaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none")
	got := run(t, "", "sluice", "--socket", socket, "version")
	if got.code != exitRefused || !strings.HasPrefix(got.out, "client: 0.1.0 (") || !strings.Contains(got.err, "no such socket") {
		t.Errorf("got %+v", got)
	}
	got = run(t, "", "sluice", "--socket", socket, "version", "--client")
	if got.code != exitGood || got.err != "" || !strings.HasPrefix(got.out, "client: 0.1.0 (") {
		t.Errorf("--client: %+v", got)
	}
}
