package main

import (
	"strings"
	"testing"
)

func TestPageSettings(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"", ""},
		{"--ui-listen 127.0.0.1:4246 --ui-token-file /etc/token", ""},
		{"--ui-listen [::1]:4246 --ui-token-file /etc/token", ""},
		{"--ui-listen 0.0.0.0:4246 --ui-token-file /etc/token --ui-tls-cert c --ui-tls-key k --ui-names sluice.example", ""},
		{"--ui-listen 127.0.0.1:4246", "name a file with a token"},
		{"--ui-listen 0.0.0.0:4246 --ui-token-file /etc/token", "without TLS only loopback"},
		{"--ui-listen 0.0.0.0:4246 --ui-token-file /etc/token --ui-tls-cert c", "go together"},
		{"--ui-listen /run/x.sock --ui-token-file /etc/token", "use ADDRESS:PORT"},
		{"--ui-listen 4246 --ui-token-file /etc/token", "HOST:PORT"},
		{"--ui-token-file /etc/token", "name an address"},
		{"--ui-names sluice.example", "name an address"},
	} {
		_, _, err := parseConfig(strings.Fields(c.args))
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.args, err, c.says)
		}
	}
}
