package ui

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/ui/words"
)

// Bounds of what a page is told of flows.
const (
	maxPage    = 1000
	flowPeriod = 100 * time.Millisecond
	maxPending = 100 // flows of one period: nobody reads more
)

// flowsEvent are flows that came.
type flowsEvent struct {
	Flows []Flow `json:"flows"`
	// Skipped is how many more fit the filter, and were too many to be shown.
	Skipped uint64 `json:"skipped,omitempty"`
	// Lost is how many flows nobody could report.
	Lost uint64 `json:"lost,omitempty"`
}

// flowQuery reads what a request asks for: q, a filter; since and until, times; last, a number.
func (s *Server) flowQuery(v url.Values) (observe.Query, *api.Error) {
	var q observe.Query
	f, err := words.Parse(v.Get("q"))
	if err != nil {
		return q, api.Errorf(api.CodeInvalid, "%v", err)
	}
	q.Match = f.Match
	for name, at := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		text := v.Get(name)
		if text == "" {
			continue
		}
		if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
			*at = s.o.Now().Add(-ago)
		} else if *at, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return q, api.Errorf(api.CodeInvalid, "read %s %q: use a time such as 2026-11-22T21:30:00Z, or how long ago, such as 15m", name, text)
		}
	}
	if text := v.Get("last"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n > maxPage {
			return q, api.Errorf(api.CodeInvalid, "read last %q: use a number up to %d", text, maxPage)
		}
		q.Last = n
	}
	return q, nil
}

// flowPage answers with the newest flows of the past that fit.
func (s *Server) flowPage(w http.ResponseWriter, r *http.Request) {
	q, refused := s.flowQuery(r.URL.Query())
	if refused != nil {
		refuse(w, refused)
		return
	}
	keep := int(q.Last)
	if keep == 0 {
		keep = maxPage
	}
	if q.Since.IsZero() {
		q.Last = uint64(keep)
	} else {
		q.Last = 0 // since beats it: the newest are chosen below
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	p := pending{most: keep}
	if err := s.o.Flows.Walk(ctx, q, p.add); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		refuse(w, api.Errorf(api.CodeInternal, "read flows: %v", err))
		return
	}
	write(w, p.take(s))
}

// flowStream sends flows as they come, those of the past first if last or since say so.
func (s *Server) flowStream(ctx context.Context, r *http.Request, out *events) error {
	q, refused := s.flowQuery(r.URL.Query())
	if refused != nil {
		return out.send("refused", refused)
	}
	q.Follow = true
	p := pending{most: max(maxPending, int(q.Last))}
	ctx, cancel := context.WithCancel(ctx)
	walked := make(chan error, 1)
	go func() { walked <- s.o.Flows.Walk(ctx, q, p.add) }()
	defer func() { cancel(); <-walked }()
	if err := out.send("flows", flowsEvent{Flows: []Flow{}}); err != nil { // the page knows that it is heard
		return err
	}
	tick := time.NewTicker(flowPeriod)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-walked:
			walked <- nil
			return err
		case now := <-tick.C:
			e := p.take(s)
			var err error
			switch {
			case len(e.Flows) > 0 || e.Skipped > 0 || e.Lost > 0:
				err = out.send("flows", e)
				last = now
				p.limit(maxPending)
			case now.Sub(last) >= s.o.Heartbeat:
				err = out.beat()
				last = now
			}
			if err != nil {
				return err
			}
		}
	}
}

// pending are the newest flows that were not yet sent.
type pending struct {
	mu      sync.Mutex
	most    int
	flows   []*observe.Flow
	skipped uint64
	lost    uint64
}

// add never waits: the ring goes on.
func (p *pending) add(f *observe.Flow) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.IsLost() {
		if f.Lost != nil {
			p.lost += f.Lost.Count
		}
		return nil
	}
	if p.flows = append(p.flows, f); len(p.flows) >= 2*p.most {
		p.shed()
	}
	return nil
}

// shed leaves the newest.
func (p *pending) shed() {
	if more := len(p.flows) - p.most; more > 0 {
		p.skipped += uint64(more)
		p.flows = append(p.flows[:0], p.flows[more:]...)
	}
}

func (p *pending) limit(most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = most
}

// take returns what is there, and forgets it.
func (p *pending) take(s *Server) flowsEvent {
	p.mu.Lock()
	p.shed()
	flows, e := p.flows, flowsEvent{Flows: []Flow{}, Skipped: p.skipped, Lost: p.lost}
	p.flows, p.skipped, p.lost = nil, 0, 0
	p.mu.Unlock()
	for _, f := range flows {
		e.Flows = append(e.Flows, s.view(f))
	}
	return e
}
