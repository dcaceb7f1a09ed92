package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/webguard"
)

// pageSocket is the daemon's socket of the page, beside that of the API.
const pageSocket = "ui.sock"

// openers start a browser, the first that is there.
var openers = []string{"xdg-open", "sensible-browser", "x-www-browser"}

// uiFlags are the flags of ui.
type uiFlags struct {
	port   uint16
	noOpen bool
}

func (a *app) ui() *cobra.Command {
	var f uiFlags
	cmd := &cobra.Command{
		Use:   "ui [flags]",
		Short: "Open the page: a map of who talks to whom, flows, policies",
		Long: `Open the daemon's page in a browser: a map of all compose projects and who talks to whom, live
flows, what was dropped and why, policies, and what is exposed.

The page is on a unix socket. This command lends it a port on this machine's loopback address until
it is interrupted, and prints its address with a token that one browser can use once. The daemon's
--ui-listen serves the page without this command.

From another machine: ssh -L 8090:127.0.0.1:8090 HOST sluice ui --port 8090`,
		Example: `  sluice ui
  sluice ui --port 8090 --no-open`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.servePage(cmd.Context(), f) },
	}
	cmd.Flags().Uint16Var(&f.port, "port", 0, "`port` on the loopback address (default: a free one)")
	cmd.Flags().BoolVar(&f.noOpen, "no-open", false, "only print the address, open no browser")
	return cmd
}

// servePage forwards a loopback port to the page's socket until the context ends.
func (a *app) servePage(ctx context.Context, f uiFlags) error {
	socket := filepath.Join(filepath.Dir(a.socket), pageSocket)
	if err := reachable(ctx, socket); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", f.port))
	if err != nil {
		return fmt.Errorf("open the page: %w; choose another --port", err)
	}
	token := webguard.NewToken()
	guard := webguard.New(webguard.Options{Token: token, Once: true})
	server := &http.Server{Handler: guard.Wrap(pageProxy(socket)), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	address := fmt.Sprintf("http://%s%s?token=%s", l.Addr(), webguard.LoginPath, token)
	fmt.Fprintf(a.Out, "%s\n", address)
	if f.noOpen || !openBrowser(a.Getenv, address) {
		fmt.Fprintln(a.Err, "Open it in a browser, once. Ctrl+C ends it.")
	} else {
		fmt.Fprintln(a.Err, "Opened in the browser. Ctrl+C ends it.")
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // streams do not end by themselves
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the page: %w", err)
	}
	return nil
}

// reachable explains a daemon that does not answer before anything is printed.
func reachable(ctx context.Context, socket string) error {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return api.Unreachable(socket, err)
	}
	return conn.Close()
}

// pageProxy passes requests on to the page's socket, and events as they come.
func pageProxy(socket string) http.Handler {
	var dialer net.Dialer
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "localhost"
			r.Out.Host = "localhost"
			for _, h := range []string{"Origin", "Cookie", "Authorization"} { // they were for us
				r.Out.Header.Del(h)
			}
		},
		FlushInterval: -1,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
			DisableCompression: true, MaxIdleConns: 16, IdleConnTimeout: time.Minute,
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, api.Unreachable(socket, err).Error(), http.StatusBadGateway)
		},
	}
}

// openBrowser reports whether there is a browser, and it was started.
func openBrowser(getenv func(string) string, address string) bool {
	if getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "" {
		return false
	}
	for _, name := range openers {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		cmd := exec.Command(path, address)
		if cmd.Start() == nil {
			go func() { _ = cmd.Wait() }() // it goes on by itself
			return true
		}
	}
	return false
}
