package command

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pageSockets serves a page beside the socket that it returns: it says who was asked for what, and sends one event.
func pageSockets(t *testing.T) (apiSocket string) {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, pageSocket))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: now\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, r.Host+r.URL.Path+r.Header.Get("Cookie"))
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return filepath.Join(dir, "sluice.sock")
}

func TestUIForwardsThePage(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		ended <- Run(ctx, Process{Args: []string{"sluice", "--socket", pageSockets(t), "ui", "--no-open"}, Out: in, Err: &stderr,
			Getenv: func(string) string { return "" }})
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	login := strings.TrimSpace(address)
	base, _, _ := strings.Cut(login, "/login")

	stranger := &http.Client{}
	if resp, err := stranger.Get(base + "/events"); err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %v, %v", resp, err)
	}
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	resp, err := browser.Get(login)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(text) != "localhost/" { // and no cookie: it was for the command
		t.Errorf("the page is %q", text)
	}
	resp, err = browser.Get(base + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); line != "data: now\n" {
		t.Errorf("the event is %q, %v", line, err)
	}
	if resp, err := stranger.Get(login); err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the token once more: %v, %v", resp, err)
	}
	cancel()
	select {
	case code := <-ended:
		if code != exitGood {
			t.Errorf("exit code %d: %s", code, &stderr)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
}

func TestUIWithoutDaemon(t *testing.T) {
	var stderr bytes.Buffer
	socket := filepath.Join(t.TempDir(), "sluice.sock")
	code := Run(t.Context(), Process{Args: []string{"sluice", "--socket", socket, "ui"}, Out: io.Discard, Err: &stderr,
		Getenv: func(string) string { return "" }})
	if code != exitRefused || !strings.Contains(stderr.String(), "ui.sock: no such socket; is sluiced running?") {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
}

func TestUIWithoutPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	var stderr bytes.Buffer
	code := Run(t.Context(), Process{Args: []string{"sluice", "--socket", pageSockets(t), "ui", "--port", port}, Out: io.Discard, Err: &stderr,
		Getenv: func(string) string { return "" }})
	if code != exitRefused || !strings.Contains(stderr.String(), "choose another --port") {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
}
