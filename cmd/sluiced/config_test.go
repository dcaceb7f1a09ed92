package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// writeFile makes a configuration file.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluiced.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigFile(t *testing.T) {
	path := writeFile(t, `
driver: other
slots: 100
clsact: true
log-level: debug
pool: 9
address-blocks:
- 10.8.0.0/16:24
- 10.9.0.0/16:26
masquerade-ports: 61000-61999
`)
	c, _, err := parseConfig([]string{"--config", path, "--pool=2", "--log-level", "error"})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.driver, c.slots, c.clsact, c.logLevel, c.pool, c.stateDir}
	want := []any{"other", uint32(100), true, "error", 2, "/var/lib/sluice"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	blocks, err := c.addressBlocks()
	if err != nil || len(blocks) != 2 || blocks[1].Size != 26 {
		t.Errorf("blocks %v, %v", blocks, err)
	}
	if ports, err := c.masqueradePorts(); err != nil || ports != [2]uint16{61000, 61999} {
		t.Errorf("masquerade ports %v, %v", ports, err)
	}
}

func TestDefaults(t *testing.T) {
	c, _, err := parseConfig(nil)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := c.masqueradePorts()
	if err != nil || ports[0] == 0 || ports[1] < ports[0] {
		t.Errorf("masquerade ports %v, %v", ports, err)
	}
}

// TestUsage: what is wrong is one line, exit status 2.
func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		file string
		want string
	}{
		"unknown flag":      {args: []string{"--colour"}, want: "colour"},
		"argument":          {args: []string{"start"}, want: `unexpected argument "start"`},
		"no number":         {args: []string{"--pool=many"}, want: "pool"},
		"log level":         {args: []string{"--log-level=loud"}, want: "use trace, debug"},
		"log format":        {args: []string{"--log-format=xml"}, want: "use text or json"},
		"driver":            {args: []string{"--driver=a/b"}, want: "driver"},
		"no slots":          {args: []string{"--slots=1"}, want: "slots"},
		"flow interval":     {args: []string{"--flow-interval=10ms"}, want: "flow-interval"},
		"relative path":     {args: []string{"--state-dir=here"}, want: "absolute"},
		"relative policies": {args: []string{"--policy-dir=here"}, want: "absolute"},
		"relative exports":  {args: []string{"--export-dir=here"}, want: `export-dir "here": use an absolute path`},
		"long prefix":       {args: []string{"--link-prefix=muchtoolong"}, want: "link-prefix"},
		"block":             {args: []string{"--address-blocks=10.0.0.0"}, want: "address-blocks"},
		"ports":             {args: []string{"--masquerade-ports=9-1"}, want: "FIRST-LAST"},
		"no file":           {args: []string{"--config=/does/not/exist"}, want: "no such file"},
		"unknown key":       {file: "colour: red", want: `unknown key "colour": the keys are driver, `},
		"flag only":         {file: "version: true", want: "unknown key"},
		"twice":             {file: "pool: 1\npool: 2", want: "pool"},
		"not YAML":          {file: "pool: [", want: "configuration"},
		"no whole number":   {file: "pool: 1.5", want: "pool"},
		"nothing":           {file: "pool:", want: "pool"},
		"map":               {file: "pool: {a: 1}", want: "pool"},
		"list for a switch": {file: "clsact: [yes, no]", want: "clsact"},
		"list of lists":     {file: "address-blocks: [{a: b}]", want: "address-blocks"},
	} {
		t.Run(name, func(t *testing.T) {
			args := c.args
			if c.file != "" {
				args = []string{"--config", writeFile(t, c.file)}
			}
			var stdout, stderr bytes.Buffer
			status := run(args, &stdout, &stderr)
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			if status != 2 || !strings.Contains(stderr.String(), c.want) || len(lines) > 3 || stdout.Len() > 0 {
				t.Errorf("status %d, printed %q", status, &stderr)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	for flag, want := range map[string]string{"--help": "--state-dir", "--version": "sluiced "} {
		var stdout, stderr bytes.Buffer
		if status := run([]string{flag}, &stdout, &stderr); status != 0 || !strings.Contains(stdout.String(), want) || stderr.Len() > 0 {
			t.Errorf("%s: status %d, printed %q and %q", flag, status, &stdout, &stderr)
		}
	}
}

func TestNotify(t *testing.T) {
	for name, path := range map[string]string{"file": filepath.Join(t.TempDir(), "notify"), "abstract": "@sluice-notify-test"} {
		t.Run(name, func(t *testing.T) {
			l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			t.Setenv("NOTIFY_SOCKET", path)
			if err := notify("READY=1"); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 64)
			_ = l.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, err := l.Read(buf)
			if err != nil || string(buf[:n]) != "READY=1" {
				t.Errorf("received %q, %v", buf[:n], err)
			}
		})
	}
	t.Setenv("NOTIFY_SOCKET", "/does/not/exist")
	if notify("READY=1") == nil {
		t.Error("nobody listens, and no error")
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := notify("READY=1"); err != nil {
		t.Error(err)
	}
}
