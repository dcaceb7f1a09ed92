package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/integration/hosts"
)

// runRecipes tries the recipes of a document: recipes FILE [TITLE [WRONG]]. Of each, containers run as it says, and every
// row of its truth tables is tried with packets, in both families. A recipe that is wrong must fail with what WRONG matches.
func runRecipes(s *scene, ts *testscript.TestScript, args []string) error {
	if len(args) == 0 || len(args) > 3 {
		ts.Fatalf("usage: recipes FILE [TITLE [WRONG]]")
	}
	text, err := os.ReadFile(ts.MkAbs(args[0]))
	if err != nil {
		return err
	}
	recipes, err := parseRecipes(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	patience := settleTime
	if len(args) == 3 {
		patience = 2 * time.Second
	}
	tried := 0
	var failures []error
	for n, r := range recipes {
		if len(args) > 1 && r.title != args[1] {
			continue
		}
		tried++
		began := time.Now()
		k := &kitchen{host: s.host, recipe: r, dir: ts.MkAbs(fmt.Sprintf(".recipe-%d", n)), root: ts.Getenv("ROOT"), patience: patience}
		err := errors.Join(k.try(), s.remove())
		ts.Logf("%s: %q, %d rows, %v", filepath.Base(args[0]), r.title, k.rows, time.Since(began).Round(time.Millisecond))
		if err != nil {
			failures = append(failures, fmt.Errorf("%s, %q: %w", filepath.Base(args[0]), r.title, err))
		}
	}
	if tried == 0 {
		return fmt.Errorf("%s: there is no such recipe", args[0])
	}
	err = errors.Join(failures...)
	if len(args) < 3 {
		return err
	}
	if err == nil || !regexp.MustCompile(args[2]).MatchString(err.Error()) {
		return fmt.Errorf("%s: want an error like %q, got %w", args[0], args[2], err)
	}
	return nil
}

// kitchen is a host while a recipe is tried on it.
type kitchen struct {
	host   *hosts.Host
	recipe recipe
	dir    string // for the recipe's files
	root   string // where commands are typed
	rows   int    // that were tried
	// patience is how long a row that is allowed may take to be, and a rate to be reached.
	patience time.Duration

	projects []string
	added    map[string]bool // servers and addresses that rows asked for
	undo     []func()
	events   eventLog
}

// try does the recipe's steps.
func (k *kitchen) try() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*commandTimeout)
	defer cancel()
	k.added = map[string]bool{}
	defer func() {
		for _, undo := range k.undo {
			undo()
		}
	}()
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	if err := k.events.follow(watching, k.host); err != nil {
		return err
	}
	for n, step := range k.recipe.steps {
		var err error
		switch step := step.(type) {
		case composition:
			err = k.compose(ctx, n, step)
		case documents:
			path := filepath.Join(k.dir, fmt.Sprintf("policy%d.yaml", n))
			if err = os.WriteFile(path, []byte(step), 0o644); err == nil {
				_, err = k.host.Output(ctx, "sluice", "policy", "apply", "-f", path, "--wait")
			}
		case typed:
			_, err = k.host.Output(ctx, "sh", "-ec", "cd "+k.root+"\n"+step.commands(k.recipe.ports()))
		case table:
			err = k.table(ctx, step)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compose brings a project up.
func (k *kitchen) compose(ctx context.Context, n int, file composition) error {
	override, err := file.override(k.recipe.ports())
	if err != nil {
		return err
	}
	base, over := filepath.Join(k.dir, fmt.Sprintf("compose%d.yaml", n)), filepath.Join(k.dir, fmt.Sprintf("override%d.yaml", n))
	if err := errors.Join(os.WriteFile(base, []byte(file), 0o644), os.WriteFile(over, override, 0o644)); err != nil {
		return err
	}
	k.projects = append(k.projects, file.project())
	_, err = k.host.Output(ctx, "docker", "compose", "-p", file.project(), "-f", base, "-f", over, "up", "-d")
	return err
}

// table tries all rows of a table at once.
func (k *kitchen) table(ctx context.Context, rows table) error {
	var tries []attempt
	for _, r := range rows {
		more, err := k.attempts(ctx, r)
		if err != nil {
			return fmt.Errorf("line %d: %w", r.line, err)
		}
		tries = append(tries, more...)
	}
	k.rows += len(rows)
	results := make([]error, len(tries))
	var wait sync.WaitGroup
	atOnce := make(chan struct{}, 12)
	for n, a := range tries {
		try := func() {
			if err := k.attempt(ctx, a); err != nil {
				results[n] = fmt.Errorf("line %d: %s to %s, %s: %w", a.row.line, a.from.name, a.address, a.port, err)
			}
		}
		if a.row.verdict == limited { // these would take from one another
			try()
			continue
		}
		wait.Go(func() {
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			try()
		})
	}
	wait.Wait()
	return errors.Join(results...)
}

// attempt is one connection of a row.
type attempt struct {
	row     row
	from    place
	to      place
	address netip.Addr // of to
	port    port
}

// attempts are the row's connections: from each source to each destination, port and family.
func (k *kitchen) attempts(ctx context.Context, r row) ([]attempt, error) {
	var all []attempt
	for _, source := range r.from {
		from, err := k.find(ctx, source)
		if err != nil {
			return nil, err
		}
		for _, destination := range r.to {
			to, err := k.find(ctx, destination)
			if err != nil {
				return nil, err
			}
			if err := k.serve(ctx, to, r.ports); err != nil {
				return nil, err
			}
			for _, address := range to.reachedFrom(from) {
				for _, p := range r.ports {
					if p.family == 0 || (p.family == 4) == address.Is4() {
						all = append(all, attempt{r, from, to, address, p})
					}
				}
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("source and destination have no family in common")
	}
	return all, nil
}

// attempt fails unless the connection goes as its row says. What is allowed may take a while, until all have started.
func (k *kitchen) attempt(ctx context.Context, a attempt) error {
	if a.row.verdict == denied || a.row.verdict == limited {
		if err := a.listens(ctx, k.host); err != nil {
			return err
		}
	}
	if a.row.verdict == limited {
		return a.keepsRate(ctx, k)
	}
	var passed error // what must not: there is no waiting until it does not
	err := hosts.Poll(k.patience, func() error {
		since := time.Now()
		word, err := a.probe(ctx, k.host)
		switch {
		case err != nil:
			return err
		case a.row.verdict == denied && word != "timeout" && word != "dropped":
			passed = fmt.Errorf("%s, and not denied: %s", word, k.events.about(a))
			return nil
		case a.row.verdict != denied && word != "ok":
			return fmt.Errorf("%s, and not %s: %s", word, a.row.verdict, k.events.about(a))
		}
		return k.events.names(a, since)
	})
	return errors.Join(passed, err)
}

// listens waits until the destination, if it is a container, accepts connections from itself, so that silence is policy.
func (a attempt) listens(ctx context.Context, h *hosts.Host) error {
	if a.to.container == "" || a.port.network == "ping" {
		return nil
	}
	return hosts.Poll(settleTime, func() error {
		argv := slices.Concat(a.to.enter, []string{"probe", a.port.network, "-w", "1s", "127.0.0.1:" + strconv.Itoa(int(a.port.number))})
		_, err := h.Output(ctx, argv...)
		return err
	})
}

// keepsRate measures what passes, of more than may. On a busy machine senders pause, so there is time to come near it.
func (a attempt) keepsRate(ctx context.Context, k *kitchen) error {
	want := a.row.mbit * 1e6
	return hosts.Poll(k.patience, func() error {
		argv := slices.Concat(a.from.enter, []string{"probe", "rate", "-t", "2500ms", "-at", fmt.Sprint(2 * want), a.port.network,
			netip.AddrPortFrom(a.address, a.port.number).String()})
		out, err := k.host.Output(ctx, argv...)
		if err != nil {
			return err
		}
		var got float64
		if _, err := fmt.Sscanf(out, "ok %g", &got); err != nil {
			return fmt.Errorf("%q: %w", out, err)
		}
		if got < 0.9*want || got > 1.1*want {
			return fmt.Errorf("%.1f mbit arrived, and not %g", got/1e6, a.row.mbit)
		}
		return nil
	})
}

// probe makes the connection and says in a word what came of it.
func (a attempt) probe(ctx context.Context, h *hosts.Host) (string, error) {
	limit := "2s"
	if a.row.verdict == denied {
		limit = "700ms"
	}
	argv := slices.Concat(a.from.enter, []string{"probe", a.port.network, "-w", limit})
	target := a.address.String()
	if a.port.network != "ping" {
		for _, source := range a.from.addresses {
			if a.from.bind && source.Is4() == a.address.Is4() {
				argv = append(argv, "-from", netip.AddrPortFrom(source, 0).String())
			}
		}
		target = netip.AddrPortFrom(a.address, a.port.number).String()
	}
	out, err := h.Command(ctx, append(argv, target)...).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if word == "error:" {
		return "", errors.New(rest)
	}
	return word, nil
}

// inBackground prepares argv to run in the host until ctx ends. It does not enter the host's processes: that needs a fork,
// and then killing it would not reach the program.
func inBackground(ctx context.Context, h *hosts.Host, argv ...string) *exec.Cmd {
	enter := []string{"-t", strconv.Itoa(h.PID()), "-m", "-n", "-u", "-i", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, argv...)...)
	cmd.WaitDelay = time.Second
	return cmd
}

// eventLog collects what programs tell of verdicts.
type eventLog struct {
	mu   sync.Mutex
	seen []api.Event
}

// follow runs the monitor until ctx ends.
func (l *eventLog) follow(ctx context.Context, h *hosts.Host) error {
	cmd := inBackground(ctx, h, filepath.Join(h.Bin, "sluice"), "monitor", "--type", "verdict,drop,audit", "-o", "json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e api.Event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				l.mu.Lock()
				l.seen = append(l.seen, e)
				l.mu.Unlock()
			}
		}
		_ = cmd.Wait()
	}()
	return nil
}

// names waits until an event of the attempt names the row's rule. What was reported before since is of another one.
func (l *eventLog) names(a attempt, since time.Time) error {
	if a.row.rule == "" && a.row.verdict != audited {
		return nil
	}
	var rules []string
	err := hosts.Poll(time.Second, func() error {
		rules = nil
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, e := range l.seen {
			if !a.caused(e) || e.Time.Before(since.Add(-10*time.Millisecond)) || (a.row.verdict == audited) != (e.Verdict == api.VerdictAudit) {
				continue
			}
			rule := strings.Trim(e.Policy+"/"+e.Rule, "/")
			if strings.Contains(rule, a.row.rule) {
				return nil
			}
			rules = append(rules, rule)
		}
		return errors.New("no such event")
	})
	if err != nil {
		return fmt.Errorf("%s as said, but by %q, not %q", a.row.verdict, rules, a.row.rule)
	}
	return nil
}

// about is what was reported of an attempt, for people.
func (l *eventLog) about(a attempt) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, e := range l.seen {
		if a.caused(e) {
			all = append(all, e.Compact())
		}
	}
	if len(all) == 0 {
		return "nothing was reported of it"
	}
	return strings.Join(all[max(0, len(all)-4):], "; ")
}

// caused says whether an event is of the attempt's packets.
func (a attempt) caused(e api.Event) bool {
	if e.Reply || e.Source.Addr.Is4() != a.address.Is4() || !strings.HasPrefix(e.Protocol, strings.Replace(a.port.network, "ping", "icmp", 1)) {
		return false
	}
	if a.from.container != "" && e.Source.Container != a.from.container {
		return false
	}
	if a.from.container == "" && e.Source.Container != "" {
		return false
	}
	if a.to.container != "" && e.Destination.Container != a.to.container {
		return false
	}
	return a.to.name == thisHost || e.Destination.Port == a.port.number
}
