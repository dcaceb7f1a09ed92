package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/cmd/sluice/command"
)

// TestReferenceIsFresh fails when a command was changed and the page was not.
func TestReferenceIsFresh(t *testing.T) {
	have, err := os.ReadFile("../../../../docs/reference/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), string(page(command.Tree()))); diff != "" {
		t.Errorf("docs/reference/cli.md is stale; run\ngo run ./cmd/sluice/internal/gendoc -markdown docs/reference/cli.md\n(-have +want):\n%s", diff)
	}
}

func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man")
	if err := run("", dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sluice.1", "sluice-monitor.1", "sluice-endpoint-label.1", "sluice-bpf-conntrack-list.1"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), ".TH") {
			t.Errorf("%s is no man page", name)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "sluice-monitor.1")); err != nil || !strings.Contains(string(b), "--verdict") {
		t.Errorf("the page of monitor lacks its flags (%v)", err)
	}
}

func TestRunNeedsATarget(t *testing.T) {
	if err := run("", ""); err == nil {
		t.Error("nothing to write is no error")
	}
}
