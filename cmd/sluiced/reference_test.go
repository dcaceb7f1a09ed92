package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/reference/config.md and metrics.md")

const referencePath = "../../docs/reference/config.md"

// TestReference compares docs/reference/config.md with the flags: go test ./cmd/sluiced -run TestReference -update
func TestReference(t *testing.T) {
	want := reference()
	if *update {
		if err := os.WriteFile(referencePath, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("docs/reference/config.md is stale: go test ./cmd/sluiced -run TestReference -update")
	}
}

// reference describes the settings.
func reference() []byte {
	var b bytes.Buffer
	b.WriteString("<!-- Generated from the flags by go test ./cmd/sluiced -run TestReference -update; do not edit. -->\n" +
		"# Settings of sluiced\n\nEvery setting is a flag, and a key of the YAML file that `--config` names; a flag wins. " +
		"Unknown keys are refused.\n`contrib/systemd/sluiced.yaml` is an example.\n\n| setting | value | default | what |\n|---|---|---|---|\n")
	c := &config{}
	c.flags().VisitAll(func(f *pflag.Flag) {
		value := strings.Trim(f.DefValue, "[]")
		if value != "" {
			value = "`" + value + "`"
		}
		name := f.Name
		if isSetting(name) {
			name += "`"
		} else {
			name += "` (flag only)"
		}
		fmt.Fprintf(&b, "| `%s | %s | %s | %s |\n", name, f.Value.Type(), value, strings.ReplaceAll(f.Usage, "|", "\\|"))
	})
	b.WriteString("\nExit status: 0 after an orderly stop, 1 if the daemon could not run, 2 for wrong settings.\n")
	return b.Bytes()
}

// TestExample reads contrib/systemd/sluiced.yaml with all its comments taken for settings.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../contrib/systemd/sluiced.yaml")
	if err != nil {
		t.Fatal(err)
	}
	settings := regexp.MustCompile(`(?m)^# ?([a-z-]+:.*)$`).ReplaceAllString(string(text), "$1")
	path := writeFile(t, settings)
	c, _, err := parseConfig([]string{"--config", path})
	if err != nil {
		t.Fatal(err)
	}
	if c.logFormat != "json" {
		t.Errorf("log-format is %q: the example was not read", c.logFormat)
	}
}
