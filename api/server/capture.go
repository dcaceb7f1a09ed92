package server

import (
	"context"
	"net/http"
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/api"
)

// mostCaptures bounds how many captures there are at a time.
const mostCaptures = 8

// capture streams packets until the client hangs up. The containers' programs capture as long as that.
func (s *Server) capture(w http.ResponseWriter, r *http.Request) {
	req, err := decode[api.CaptureRequest](r.WithContext(withConn(r.Context(), w)), maxBody)
	var containers []string
	if err == nil {
		containers, err = s.captured(r.Context(), &req)
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	select {
	case s.captures <- struct{}{}:
		defer func() { <-s.captures }()
	default:
		s.refuse(w, api.Errorf(api.CodeUnavailable, "capture packets: %d clients do so already; end one of them", mostCaptures))
		return
	}
	addrs := func(name string) []netip.Addr { return s.addrs(r.Context(), name) }
	stream(r.Context(), s, w, "capture", func(ctx context.Context, yield func(api.Captured) error) error {
		return s.backend.Captures.Capture(ctx, containers, req, addrs, yield)
	})
}

// captured checks a request and returns the names of the containers that it means.
func (s *Server) captured(ctx context.Context, r *api.CaptureRequest) ([]string, error) {
	switch {
	case s.backend.Captures == nil:
		return nil, missing("captures")
	case len(r.Refs) == 0:
		return nil, api.Errorf(api.CodeInvalid, "capture packets: name containers")
	case r.SnapLength == 0:
		r.SnapLength = api.MaxSnapLength
	case r.SnapLength < api.MinSnapLength || r.SnapLength > api.MaxSnapLength:
		return nil, api.Errorf(api.CodeInvalid, "capture %d bytes of packets: use %d to %d", r.SnapLength, api.MinSnapLength, api.MaxSnapLength)
	}
	found, err := s.find(ctx, r.Refs)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range found {
		if e.Container == "" {
			return nil, api.Errorf(api.CodeUnavailable, "capture packets of endpoint %.12s: its container is not known yet; try again", e.ID)
		}
		names = append(names, e.Container)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// addrs returns the addresses of the containers that a name means, none if it means none.
func (s *Server) addrs(ctx context.Context, name string) (all []netip.Addr) {
	found, err := s.find(ctx, []string{name})
	if err != nil {
		return nil
	}
	for _, e := range found {
		for _, p := range []netip.Prefix{e.IPv4, e.IPv6} {
			if p.IsValid() {
				all = append(all, p.Addr())
			}
		}
	}
	return all
}
