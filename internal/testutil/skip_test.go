package testutil

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder is a test that notes its end instead of ending.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper()      {}
func (r *recorder) Name() string { return "TestX" }
func (r *recorder) Skip(args ...any) {
	r.skipped = args[0].(string)
}
func (r *recorder) Fatal(args ...any)              { r.failed = args[0].(string) }
func (r *recorder) Fatalf(format string, _ ...any) { r.failed = format }

func TestNotSupported(t *testing.T) {
	tests := []struct {
		name, since string
		skips       bool
	}{
		{"newer than this kernel", "99.0", true},
		{"as old as Linux", "1.0", false},
		{"left out by the configuration", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			notes := filepath.Join(t.TempDir(), "skips")
			t.Setenv(SkipsEnv, notes)
			r := &recorder{TB: t}
			NotSupported(r, "feature", tt.since, errors.New("no"))
			if (r.skipped != "") != tt.skips {
				t.Errorf("skipped %q, failed %q", r.skipped, r.failed)
			}
			noted, _ := os.ReadFile(notes)
			if strings.HasPrefix(string(noted), "TestX: not supported") != tt.skips && tt.skips {
				t.Errorf("noted %q", noted)
			}
		})
	}
}

func TestOlder(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"6.1.0-13-amd64", "6.6", true}, {"6.18.0", "6.6", false}, {"6.6.1", "6.6", false}, {"5.15", "6.1", true},
	}
	for _, tt := range tests {
		if got := older(tt.a, tt.b); got != tt.want {
			t.Errorf("older(%s, %s) = %v", tt.a, tt.b, got)
		}
	}
}
