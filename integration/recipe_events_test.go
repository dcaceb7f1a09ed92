package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/integration/hosts"
)

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
