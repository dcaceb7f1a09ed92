package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// parse reads a configuration file with this text, and the flags.
func parse(t *testing.T, text string, args ...string) (*config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluiced.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := parseConfig(append(args, "--config", file))
	return c, err
}

func TestConfigFile(t *testing.T) {
	c, err := parse(t, "log-level: debug\nslots: 100\nclsact: true\naddress-blocks: [10.0.0.0/16:24, 10.1.0.0/16:26]\n",
		"--log-level", "warning")
	if err != nil {
		t.Fatal(err)
	}
	if c.logLevel != "warning" {
		t.Errorf("log level %s: the flag must win over the file", c.logLevel)
	}
	if c.slots != 100 || !c.clsact || len(c.blocks) != 2 || c.blocks[1] != "10.1.0.0/16:26" {
		t.Errorf("read %+v", c)
	}
}

func TestConfigRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		args       []string
		want       string
	}{
		{"unknown key", "log-levle: debug", nil, `unknown key "log-levle"`},
		{"wrong type", "slots: many", nil, `key "slots"`},
		{"an object", "slots: {a: 1}", nil, "neither text, number, boolean nor list"},
		{"config in itself", "config: x", nil, "unknown key"},
		{"not YAML", "a: [", nil, "configuration"},
		{"level", "", []string{"--log-level", "loud"}, "use trace, debug"},
		{"format", "", []string{"--log-format", "xml"}, "use text or json"},
		{"driver", "", []string{"--driver", "a/b"}, "without slash"},
		{"ports", "", []string{"--masquerade-ports", "9-3"}, "FIRST-LAST"},
		{"blocks", "", []string{"--address-blocks", "10.0.0.0"}, "address-blocks"},
		{"slots", "", []string{"--slots", "1"}, "slots 2 or more"},
		{"argument", "", []string{"start"}, `unexpected argument "start"`},
		{"both actions", "", []string{"--remove", "--version"}, "one of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parse(t, tt.text, tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestSampleConfiguration: what make install puts into /etc/sluice is valid, its comments too.
func TestSampleConfiguration(t *testing.T) {
	raw, err := os.ReadFile("../../contrib/systemd/sluiced.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse(t, string(raw)); err != nil {
		t.Errorf("as it is: %v", err)
	}
	keys := regexp.MustCompile(`(?m)^# ([a-z-]+: .*\n)`).FindAllStringSubmatch(string(raw), -1)
	if len(keys) < 5 {
		t.Fatalf("found only %v", keys)
	}
	for _, key := range keys {
		if _, err := parse(t, key[1]); err != nil {
			t.Errorf("%s: %v", key[0], err)
		}
	}
}
