package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protojson"
	_ "google.golang.org/protobuf/types/known/structpb" // of extensions

	"github.com/sluice-net/sluice/integration/hosts"
)

// hubbleSocket is where a host's daemon serves Hubble's API.
const hubbleSocket = "unix:///run/sluice/hubble.sock"

// getHubble is "hubble-clients": builds Hubble's unmodified clients, once, and lets scripts call them: by the commands
// hubble and hubble-old, and in the background as $HUBBLE, $HUBBLE_OLD and $HUBBLE_RELAY.
func getHubble(_ *scene, ts *testscript.TestScript, _ []string) error {
	for variable, client := range map[string]string{"HUBBLE": "hubble", "HUBBLE_OLD": "hubble-old", "HUBBLE_RELAY": "hubble-relay"} {
		path, err := hosts.HubbleClient(client)
		if err != nil {
			return err
		}
		ts.Setenv(variable, path)
	}
	ts.Setenv("HUBBLE_SERVER", hubbleSocket)
	return nil
}

func runHubble(s *scene, ts *testscript.TestScript, args []string) error {
	return inHost(s, ts, append([]string{ts.Getenv("HUBBLE")}, args...)...)
}

func runHubbleOld(s *scene, ts *testscript.TestScript, args []string) error {
	return inHost(s, ts, append([]string{ts.Getenv("HUBBLE_OLD")}, args...)...)
}

// flowsOf asks a client for flows and reads what it prints.
func flowsOf(s *scene, client string, args ...string) ([]*observerpb.GetFlowsResponse, error) {
	ctx, cancel := withTimeout()
	defer cancel()
	argv := append([]string{client, "observe", "--server", hubbleSocket, "-o", "jsonpb"}, args...)
	cmd := s.host.Command(ctx, argv...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(argv[1:], " "), err, stderr.String())
	}
	var all []*observerpb.GetFlowsResponse
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r := &observerpb.GetFlowsResponse{}
		if err := protojson.Unmarshal(lines.Bytes(), r); err != nil {
			return nil, fmt.Errorf("read flow %s: %w", lines.Text(), err)
		}
		all = append(all, r)
	}
	return all, lines.Err()
}

// countFilters is "hubble-filters [MINIMUM]": the flows up to now are asked for by every case of the table, of both
// versions of the client, and have to be as many as a count of all of them gives. At least MINIMUM cases have to select
// some flows and leave others out.
func countFilters(s *scene, ts *testscript.TestScript, args []string) error {
	minimum := 0
	if len(args) > 0 {
		if _, err := fmt.Sscan(args[0], &minimum); err != nil {
			return fmt.Errorf("usage: hubble-filters [MINIMUM]: %w", err)
		}
	}
	until := time.Now().UTC().Format(time.RFC3339Nano)
	all, err := flowsOf(s, ts.Getenv("HUBBLE"), "--all", "--until", until)
	if err != nil {
		return err
	}
	var flows []*flow
	for _, r := range all {
		if f := r.GetFlow(); f != nil {
			flows = append(flows, f)
		}
	}
	if len(flows) == 0 {
		return fmt.Errorf("there are no flows to filter")
	}
	ts.Logf("%d flows, %d cases", len(flows), len(filterCases))
	return (&filterRun{scene: s, ts: ts, until: until, flows: flows}).check(minimum)
}

// filterRun is one run of the table.
type filterRun struct {
	scene *scene
	ts    *testscript.TestScript
	until string
	flows []*flow

	mu      sync.Mutex
	telling int // cases that select some and not all
	wrong   []string
}

// check runs the cases, two at a time: each is a process of some size.
func (r *filterRun) check(minimum int) error {
	queue := make(chan filterCase)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for c := range queue {
				r.try(c, r.ts.Getenv("HUBBLE"))
				if !c.newOnly && c.both {
					r.try(c, r.ts.Getenv("HUBBLE_OLD"))
				}
			}
		})
	}
	for _, c := range filterCases {
		queue <- c
	}
	close(queue)
	workers.Wait()
	if len(r.wrong) > 0 {
		return fmt.Errorf("%d cases of %d are wrong:\n%s", len(r.wrong), len(filterCases), strings.Join(r.wrong, "\n"))
	}
	if r.telling < minimum {
		return fmt.Errorf("only %d cases of %d select some flows and not all, of %d", r.telling, len(filterCases), len(r.flows))
	}
	return nil
}

func (r *filterRun) try(c filterCase, client string) {
	want := 0
	for _, f := range r.flows {
		if c.match(f) {
			want++
		}
	}
	args := append([]string{"--all", "--until", r.until}, strings.Fields(c.args)...)
	if c.quoted != nil {
		args = append(args, c.quoted...)
	}
	got, err := flowsOf(r.scene, client, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		r.wrong = append(r.wrong, fmt.Sprintf("%s: %v", strings.Join(args[3:], " "), err))
	case countFlows(got) != want:
		r.wrong = append(r.wrong, fmt.Sprintf("%s: %d flows, the count of all says %d", strings.Join(args[3:], " "), countFlows(got), want))
	case want > 0 && want < len(r.flows):
		r.telling++
	}
}

func countFlows(all []*observerpb.GetFlowsResponse) (n int) {
	for _, r := range all {
		if r.GetFlow() != nil {
			n++
		}
	}
	return n
}
