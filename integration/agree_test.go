package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-net/sluice/api"
)

// Words of random labels, so few that they meet often.
var (
	labelKeys  = []string{"sluice.ingress", "sluice.egress", "sluice.ingress.deny", "sluice.egress.deny", "sluice.publish", "sluice.publish.8080", "sluice.mode"}
	labelLists = []string{"name:web:80", "name:peer:{80,81}/any", "@net:80/any", "@host", "@lan:80/any", "@internet", "@any:80/udp", "@none",
		"10.77.0.2:80/any", "[fd77::/64]:80/any", "net:other, @host:7000"}
	publishLists = []string{"@lan", "@internet", "@net", "10.77.0.2, fd77::2", "name:peer", "@none", "name:web, net:other"}
)

// randomLabels are flags of "sluice endpoint label".
func randomLabels(g *rand.Rand, publishes bool) []string {
	pick := func(from []string) string { return from[g.IntN(len(from))] }
	var flags []string
	for _, key := range labelKeys {
		value := pick(labelLists)
		switch {
		case key == "sluice.mode":
			value = "audit"
		case strings.HasPrefix(key, "sluice.publish"):
			value = pick(publishLists)
		}
		switch seldom := key == "sluice.mode" || strings.HasSuffix(key, ".deny"); {
		case strings.HasPrefix(key, "sluice.publish") && !publishes:
		case g.IntN(2) == 0 && !(seldom && g.IntN(3) > 0):
			flags = append(flags, "--add", key+"="+value)
		default:
			flags = append(flags, "--remove", key)
		}
	}
	return flags
}

// agreement compares explanations with connections.
type agreement struct {
	s        *scene
	pids     map[string]string // of the containers, by name
	mu       sync.Mutex
	wrong    []error
	verdicts map[string]int
}

// checkAgreement is "agree ROUNDS CONTAINERS TARGETS": in each round the containers, words with commas, get random labels,
// and then what "sluice policy explain" says of every one of them, of the host and of both machines outside, to every
// target, must be what becomes of a connection.
func checkAgreement(s *scene, ts *testscript.TestScript, args []string) error {
	if len(args) != 3 {
		ts.Fatalf("usage: agree ROUNDS CONTAINERS TARGETS")
	}
	rounds, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("agree: %v", err)
	}
	containers, targets := strings.Split(args[1], ","), strings.Split(args[2], ",")
	a := &agreement{s: s, pids: map[string]string{}, verdicts: map[string]int{}}
	for _, c := range containers {
		pid, err := a.output([]string{"docker", "inspect", "-f", "{{.State.Pid}}", c})
		if err != nil {
			return fmt.Errorf("find the process of %s: %w", c, err)
		}
		a.pids[c] = strings.TrimSpace(string(pid))
	}
	asking := slices.Concat(containers, slices.Sorted(maps.Keys(ends)))
	for round := range rounds {
		g := rand.New(rand.NewPCG(uint64(round), 41))
		var labels []string
		for _, c := range containers {
			flags := randomLabels(g, c == "web")
			labels = append(labels, c+" "+strings.Join(flags, " "))
			if _, err := a.output(s.host.Args("/", append([]string{"sluice", "endpoint", "label", c, "--wait"}, flags...)...)); err != nil {
				return err
			}
		}
		a.round(asking, targets)
		if len(a.wrong) > 0 {
			return fmt.Errorf("round %d, labels:\n%s\n%w", round, strings.Join(labels, "\n"), errors.Join(a.wrong...))
		}
	}
	ts.Logf("%v", a.verdicts)
	if least := 10 * rounds; a.verdicts[api.VerdictAllowed] < least || a.verdicts[api.VerdictDenied] < least {
		return fmt.Errorf("the questions say little: %v", a.verdicts)
	}
	return nil
}

// ends are who asks besides the containers: the host, and the machines outside by each of their addresses.
var ends = map[string]string{"@host": "host", "10.77.0.2": "outside", "fd77::2": "outside", "198.51.100.1": "far", "2001:db8:64::1": "far"}

// comparable leaves out ends of different families, and what concerns no container.
func comparable(from, to string) bool {
	if ends[from] == "" {
		return true
	}
	inside := strings.Contains(to, "90") || strings.Contains(to, "91") || strings.Contains(to, "808")
	return inside && (from == "@host" || strings.Contains(from, ":") == strings.HasPrefix(to, "["))
}

// round asks every question once.
func (a *agreement) round(from, targets []string) {
	var all sync.WaitGroup
	places := make(chan struct{}, 12)
	for _, f := range from {
		for _, t := range targets {
			if !comparable(f, t) {
				continue
			}
			all.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				if err := a.compare(f, t); err != nil {
					a.mu.Lock()
					defer a.mu.Unlock()
					a.wrong = append(a.wrong, fmt.Errorf("%s to %s: %w", f, t, err))
				}
			})
		}
	}
	all.Wait()
}

// compare asks one question and tries the connection.
func (a *agreement) compare(from, to string) error {
	text, err := a.output(a.s.host.Args("/", "sluice", "why", from, to, "-o", "json"))
	if failed := new(exec.ExitError); errors.As(err, &failed) && strings.Contains(string(failed.Stderr), "the same container") {
		return nil
	}
	var e api.Explanation
	if broken := json.Unmarshal(text, &e); broken != nil {
		return errors.Join(broken, err)
	}
	passes := e.Verdict == api.VerdictAllowed || e.Verdict == api.VerdictAudit
	a.mu.Lock()
	a.verdicts[e.Verdict]++
	a.mu.Unlock()
	for _, p := range e.Paths {
		for _, s := range p.Steps {
			if s.Step != api.StepRoute && s.By != api.ByProgram {
				return fmt.Errorf("%s was judged by %s", s.Step, s.By)
			}
		}
	}
	wait := "350ms"
	if passes {
		wait = "10s"
	}
	target, protocol, _ := strings.Cut(to, "/")
	if protocol == "" {
		protocol = "tcp"
	}
	argv := []string{"probe", protocol, "-w", wait, target}
	switch where := ends[from]; where {
	case "":
		argv = a.s.host.Args("/", append([]string{"nsenter", "-t", a.pids[from], "-n"}, argv...)...)
	case "host":
		argv = a.s.host.Args("/", argv...)
	default:
		argv = a.s.host.Outside(where, "/", argv...)
	}
	out, err := a.output(argv)
	if failed := new(exec.ExitError); err != nil && !errors.As(err, &failed) {
		return err
	}
	if (err == nil) != passes {
		return fmt.Errorf("explained as %s, but the connection says %q: %w\n%s", e.Verdict, out, err, text)
	}
	return nil
}

// output runs a command.
func (a *agreement) output(argv []string) ([]byte, error) {
	ctx, cancel := withTimeout()
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = a.s.host.Env()
	return cmd.Output()
}
