package command

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api/server"
	"github.com/sluice-net/sluice/api/server/servertest"
)

// completions returns the words that the shell is offered, without descriptions.
func completions(t *testing.T, got result) []string {
	t.Helper()
	if got.code != exitGood {
		t.Fatalf("completion: %+v", got)
	}
	var words []string
	for line := range strings.Lines(got.out) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if word == "" || strings.HasPrefix(word, ":") {
			continue
		}
		words = append(words, word)
	}
	return words
}

func TestCompletion(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"network get ", []string{"back", "front"}},
		{"network get front ", []string{"back"}},
		{"network get b", []string{"back"}},
		{"endpoint get ", []string{"ac0400000000", "db", "web"}},
		{"endpoint label web ", []string{"--add", "--remove"}},
		{"endpoint label d", []string{"db"}},
		{"endpoint regenerate w", []string{"web"}},
		{"endpoint list --network ", []string{"back", "front"}},
		{"identity get ", []string{"257", "258", "host", "world"}},
		{"policy get ", []string{"allow-web", "labels:web@front", "shop/deny-all"}},
		{"policy delete allow-web ", []string{"shop/deny-all"}},
		{"policy explain ", []string{"@host", "@internet", "@lan", "ac0400000000", "db", "shop/frontend", "web"}},
		{"why web d", []string{"db"}},
		{"why web db ", nil},
		{"exposed sh", []string{"shop/frontend"}},
		{"policy graph w", []string{"web"}},
		{"policy learn ", []string{"ac0400000000", "db", "shop/frontend", "web"}},
		{"port ls d", []string{"db"}},
		{"bpf conntrack list w", []string{"web"}},
		{"bpf policy list w", []string{"web"}},
		{"monitor --endpoint ", []string{"ac0400000000", "db", "web"}},
		{"monitor --type ", []string{"drop", "verdict", "trace", "audit", "learn"}},
		{"status -o ", []string{"table", "wide", "json", "yaml"}},
		{"log level set d", []string{"debug"}},
		{"completion ", []string{"bash", "zsh", "fish"}},
		{"status ", nil},
		{"network g", []string{"get"}},
	} {
		t.Run(c.line, func(t *testing.T) {
			socket := servertest.Serve(t, servertest.Sample().Backend(), server.Options{})
			argv := append([]string{"sluice", "__complete", "--socket", socket}, strings.Split(c.line, " ")...)
			got := run(t, "", argv...)
			if diff := cmp.Diff(c.want, completions(t, got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompletionWithoutDaemon(t *testing.T) {
	got := run(t, "", "sluice", "__complete", "--socket", filepath.Join(t.TempDir(), "none"), "network", "get", "")
	if words := completions(t, got); len(words) != 0 {
		t.Errorf("offered %q", words)
	}
}

func TestCompletionScripts(t *testing.T) {
	for shell, want := range map[string]string{"bash": "__start_sluice", "zsh": "#compdef sluice", "fish": "complete -c sluice"} {
		got := run(t, "", "sluice", "completion", shell)
		if got.code != exitGood || !strings.Contains(got.out, want) {
			t.Errorf("%s: exit code %d, %q is not in the script", shell, got.code, want)
		}
	}
}
