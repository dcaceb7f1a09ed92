package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/internal/listen"
)

// uiConfig are the settings of the page.
type uiConfig struct {
	listen string
	token  string
	tls    listen.Files
	names  []string
}

func (c *uiConfig) flags(f *pflag.FlagSet) {
	f.StringVar(&c.listen, "ui-listen", "", "ADDRESS:PORT where the page is served with TLS, or on a loopback address without; empty: only on the socket RUN-DIR/ui.sock, which \"sluice ui\" opens")
	f.StringVar(&c.token, "ui-token-file", "", "file with the token that the page at ui-listen asks for; it must not be readable by everybody")
	f.StringVar(&c.tls.Cert, "ui-tls-cert", "", "certificate of the page (PEM); certificate and key may be replaced while the daemon runs")
	f.StringVar(&c.tls.Key, "ui-tls-key", "", "its key (PEM)")
	f.StringSliceVar(&c.names, "ui-names", nil, "names by which browsers may ask for the page, beside localhost and addresses")
}

// check refuses settings that cannot work together.
func (c *uiConfig) check() error {
	if c.listen == "" {
		if c.tls != (listen.Files{}) || c.token != "" || len(c.names) > 0 {
			return fmt.Errorf("ui-token-file, ui-tls and ui-names are about ui-listen: name an address")
		}
		return nil
	}
	if _, ok := listen.IsUnix(c.listen); ok {
		return fmt.Errorf("ui-listen %q: use ADDRESS:PORT; the unix socket is RUN-DIR/ui.sock", c.listen)
	}
	if c.token == "" {
		return fmt.Errorf("ui-listen %q: everybody who reaches it would see all flows: name a file with a token (ui-token-file)", c.listen)
	}
	if err := listen.Check(c.options()); err != nil {
		return fmt.Errorf("ui-listen: %w", err)
	}
	return nil
}

// options are those of the listener of TCP. Who may see the page is asked above it, where browsers have cookies.
func (c *uiConfig) options() listen.Options {
	return listen.Options{Address: c.listen, TLS: c.tls, Anonymous: true, Protocols: []string{"h2", "http/1.1"}}
}
