package driver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/endpoint"
	"github.com/sluice-net/sluice/internal/listen"
)

// To record anew: run the test binary in the namespaces of an engine's host with -record=FILE (a plugin socket
// /run/docker/plugins/sluice.sock appears), use the engine, and interrupt it.
var record = flag.String("record", "", "record Docker's requests to this file until interrupted")

// exchange is one recorded request with what Sluice answered.
type exchange struct {
	Method string          `json:"method"`
	Body   json.RawMessage `json:"body,omitempty"`
	Status int             `json:"status"`
	Answer json.RawMessage `json:"answer"`
}

// Requests of real engines are understood as recorded, answered as recorded, and reach the use-cases as the golden
// transcript beside them says.
func TestRecordedRequests(t *testing.T) {
	files, err := filepath.Glob("testdata/recorded/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings (%v)", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b := newBackends()
			b.link = func(r endpoint.JoinRequest) (string, error) { return linkName(r.EndpointID), nil }
			s := newServer(t, b)
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(bytes.NewReader(raw))
			lines.Buffer(nil, maxBody)
			for lines.Scan() {
				var x exchange
				if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
					t.Fatal(err)
				}
				status, answer := post(t, s, x.Method, x.Body)
				if status != x.Status || status == http.StatusOK && answer != string(x.Answer) {
					t.Errorf("%s %s\ngot  %d %s\nwant %d %s", x.Method, x.Body, status, answer, x.Status, x.Answer)
				}
			}
			golden := strings.TrimSuffix(file, ".jsonl") + ".golden"
			got := strings.Join(b.calls, "\n") + "\n"
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func linkName(endpointID string) string { return "rec" + endpointID[:min(8, len(endpointID))] }

// TestMain turns the test binary into the recorder when it is asked to.
func TestMain(m *testing.M) {
	flag.Parse()
	if *record != "" {
		if err := recordRequests(*record); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// recordRequests serves Docker with real interfaces and writes what it asks.
func recordRequests(file string) error {
	b := newBackends()
	b.link = makeLink
	s, err := makeServer(context.Background(), b)
	if err != nil {
		return err
	}
	l, err := listen.Unix("/run/docker/plugins/sluice.sock", "")
	if err != nil {
		return err
	}
	r := &recorder{server: s}
	server := &http.Server{Handler: r, ReadHeaderTimeout: time.Second}
	go server.Serve(l)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGINT, unix.SIGTERM)
	<-stop
	return errors.Join(server.Close(), os.WriteFile(file, r.normalised(), 0o644))
}

func makeLink(r endpoint.JoinRequest) (string, error) {
	name := linkName(r.EndpointID)
	out, err := exec.Command("ip", "link", "add", name, "type", "veth", "peer", "name", "h"+name[1:]).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make %s: %w: %s", name, err, out)
	}
	return name, nil
}

type recorder struct {
	server *Server
	mu     sync.Mutex
	lines  bytes.Buffer
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	q.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	r.server.ServeHTTP(answer, q)
	r.mu.Lock()
	defer r.mu.Unlock()
	x := exchange{Method: strings.TrimPrefix(q.URL.Path, "/"), Status: answer.Code, Answer: bytes.TrimSpace(answer.Body.Bytes())}
	if body = bytes.TrimSpace(body); len(body) > 0 {
		x.Body = body
	}
	line, err := json.Marshal(x)
	if err != nil {
		panic(err)
	}
	r.lines.Write(append(line, '\n'))
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

var (
	longID  = regexp.MustCompile(`[0-9a-f]{64}`)
	sandbox = regexp.MustCompile(`/run/docker/netns/[0-9a-f]{12}`)
	link    = regexp.MustCompile(`\brec[0-9a-f]{8}\b`)
)

// normalised replaces ids by numbered ones, so that a new recording differs only where Docker does.
func (r *recorder) normalised() []byte {
	seen := map[string]string{}
	number := func(prefix string) func(string) string {
		return func(s string) string {
			if seen[s] == "" {
				seen[s] = fmt.Sprintf("%s%03d", prefix, len(seen)+1)
			}
			return seen[s]
		}
	}
	text := r.lines.String()
	text = longID.ReplaceAllStringFunc(text, number("id"))
	text = sandbox.ReplaceAllStringFunc(text, func(s string) string { return "/run/docker/netns/" + number("sandbox")(s) })
	// The name of an interface is made of the endpoint's id.
	return []byte(link.ReplaceAllStringFunc(text, func(s string) string {
		for id, short := range seen {
			if strings.HasPrefix(id, strings.TrimPrefix(s, "rec")) {
				return linkName(short)
			}
		}
		return s
	}))
}
