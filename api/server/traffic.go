package server

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/sluice-net/sluice/api"
)

// mostWatchers bounds how many traffic streams there are at a time: each reads the kernel's tables by itself.
const mostWatchers = 16

// traffic streams rates until the client hangs up or has as many samples as it asked for.
func (s *Server) traffic(w http.ResponseWriter, r *http.Request) {
	req, err := decode[api.TrafficRequest](r.WithContext(withConn(r.Context(), w)), maxBody)
	if err == nil {
		err = s.checkTraffic(req)
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	select {
	case s.watchers <- struct{}{}:
		defer func() { <-s.watchers }()
	default:
		s.refuse(w, api.Errorf(api.CodeUnavailable, "watch traffic: %d clients do so already; end one of them", mostWatchers))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	samples, failed := make(chan api.Traffic), make(chan error, 1)
	go func() {
		failed <- s.backend.Traffic.Watch(ctx, req, func(t api.Traffic) error {
			select {
			case samples <- t:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	out := newLines(w)
	beat := time.NewTicker(s.heartbeat)
	defer beat.Stop()
	for err = out.flush(); err == nil; {
		select {
		case t := <-samples:
			if err = out.add(api.Line[api.Traffic]{Item: &t}); err == nil {
				err = out.flush()
			}
		case <-beat.C:
			err = out.beat()
		case end := <-failed:
			if ctx.Err() == nil {
				out.end(end)
			}
			return
		}
	}
	s.log.Debugf("stream traffic: %v", err)
}

func (s *Server) checkTraffic(r api.TrafficRequest) error {
	switch all := []string{api.TrafficContainers, api.TrafficServices, api.TrafficPeers}; {
	case s.backend.Traffic == nil:
		return missing("traffic")
	case !slices.Contains(all, r.By):
		return api.Errorf(api.CodeInvalid, "watch traffic by %q: use containers, services or peers", r.By)
	case r.Interval < api.MinTrafficInterval || r.Interval > api.MaxTrafficInterval:
		return api.Errorf(api.CodeInvalid, "watch traffic every %s: use %s to %s", r.Interval, api.MinTrafficInterval, api.MaxTrafficInterval)
	case r.Count < 0:
		return api.Errorf(api.CodeInvalid, "watch traffic: %d samples", r.Count)
	}
	return nil
}
