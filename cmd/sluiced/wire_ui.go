package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"

	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/internal/webguard"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/ui"
)

// page is the daemon's page and the sockets on which it is served.
type page struct {
	socket net.Listener
	tcp    *listen.Listener // nil: it is on the socket only
	token  string
}

// wirePage opens the page's sockets.
func (d *daemon) wirePage(context.Context) (err error) {
	if d.page.socket, err = listen.Unix(filepath.Join(d.config.runDir, "ui.sock"), d.config.hubble.group); err != nil {
		return fmt.Errorf("open the page's socket: %w", err)
	}
	d.closing(closeListener(d.page.socket))
	c := &d.config.ui
	if c.listen == "" {
		return nil
	}
	if d.page.token, err = webguard.ReadToken(c.token); err != nil {
		return fmt.Errorf("serve the page (ui-token-file): %w", err)
	}
	if d.page.tcp, err = listen.Open(c.options()); err != nil {
		return fmt.Errorf("serve the page (ui-listen): %w", err)
	}
	d.closing(closeListener(d.page.tcp))
	return nil
}

// servePage serves the page until stop is called. api answers what the page asks of the daemon.
func (d *daemon) servePage(api http.Handler, failed chan<- error) (stop func(), err error) {
	handler, err := ui.New(ui.Options{
		Flows: d.observer, Inventory: d.manager, API: api, Log: d.log,
		Hint: func(f *observe.Flow) string { return d.manager.Hint(f.Event()) },
	})
	if err != nil {
		return nil, err
	}
	local := handler.HTTP(webguard.New(webguard.Options{}).Wrap)
	d.background.Go(func() { failed <- serveOn(local.Serve(d.page.socket), "page's socket") })
	servers := []*http.Server{local}
	if tcp := d.page.tcp; tcp != nil {
		guard := webguard.New(webguard.Options{Token: d.page.token, Hosts: d.config.ui.names, Secure: tcp.TLS != nil})
		remote := handler.HTTP(guard.Wrap)
		d.background.Go(func() { failed <- serveOn(remote.Serve(tcp.Secure()), "page") })
		servers = append(servers, remote)
	}
	return func() {
		for _, s := range servers {
			_ = s.Close() // streams do not end by themselves; the listeners are closed once more with the daemon
		}
		handler.Close()
	}, nil
}
