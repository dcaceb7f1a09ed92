package server

import (
	"context"
	"net/http"
	"slices"

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
	stream(r.Context(), s, w, "traffic", func(ctx context.Context, yield func(api.Traffic) error) error {
		return s.backend.Traffic.Watch(ctx, req, yield)
	})
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
