package server

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/sluice-net/sluice/api"
)

// missing is the answer where the daemon was built or started without a backend.
func missing(what string) error {
	return api.Errorf(api.CodeUnavailable, "serve request: this daemon has no %s", what)
}

func refs(r *http.Request) []string { return r.URL.Query()["ref"] }

func (s *Server) version(*http.Request) (any, error) { return s.backend.Version, nil }

func (s *Server) status(r *http.Request) (any, error) {
	if s.backend.Status == nil {
		return nil, missing("status")
	}
	return s.backend.Status.Status(r.Context())
}

func (s *Server) networks(r *http.Request) (any, error) {
	if s.backend.Networks == nil {
		return nil, missing("networks")
	}
	all, err := s.backend.Networks.Networks(r.Context())
	if err != nil {
		return nil, err
	}
	return resolveNetworks(all, refs(r))
}

// find returns the endpoints that the references mean.
func (s *Server) find(ctx context.Context, refs []string) ([]api.Endpoint, error) {
	if s.backend.Endpoints == nil {
		return nil, missing("endpoints")
	}
	all, err := s.backend.Endpoints.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	return resolveEndpoints(all, refs)
}

// findIDs is find, of ids; none without references.
func (s *Server) findIDs(ctx context.Context, refs []string) ([]string, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	found, err := s.find(ctx, refs)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(found))
	for i, e := range found {
		ids[i] = e.ID
	}
	return ids, nil
}

func (s *Server) endpoints(r *http.Request) (any, error) { return s.find(r.Context(), refs(r)) }

func (s *Server) label(r *http.Request) (any, error) {
	req, err := decode[api.LabelRequest](r, maxBody)
	if err != nil {
		return nil, err
	}
	if req.LabelChange.IsZero() {
		return nil, api.Errorf(api.CodeInvalid, "label endpoint %q: nothing to add or remove", req.Ref)
	}
	if err := checkWaiting(req.Waiting); err != nil {
		return nil, err
	}
	found, err := s.find(r.Context(), []string{req.Ref})
	if err != nil {
		return nil, err
	}
	var change api.Change
	done := map[string]bool{} // labels belong to the container: once for all its endpoints
	for _, e := range found {
		if e.ContainerID != "" && done[e.ContainerID] {
			continue
		}
		done[e.ContainerID] = true
		revision, err := s.backend.Endpoints.Relabel(r.Context(), e.ID, req.LabelChange)
		if err != nil {
			return nil, err
		}
		change.Revision = max(change.Revision, revision)
	}
	return s.wait(r.Context(), change, req.Waiting)
}

func (s *Server) regenerate(r *http.Request) (any, error) {
	req, err := decode[api.RegenerateRequest](r, maxBody)
	if err != nil {
		return nil, err
	}
	if req.All == (len(req.Refs) > 0) {
		return nil, api.Errorf(api.CodeInvalid, "regenerate endpoints: name either endpoints or all")
	}
	found, err := s.find(r.Context(), req.Refs)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(found))
	for i, e := range found {
		ids[i] = e.ID
	}
	return s.backend.Endpoints.Regenerate(r.Context(), ids)
}

func (s *Server) identities(r *http.Request) (any, error) {
	if s.backend.Identities == nil {
		return nil, missing("identities")
	}
	all, err := s.backend.Identities.Identities(r.Context())
	if err != nil || len(refs(r)) == 0 {
		return all, err
	}
	endpoints, err := s.find(r.Context(), nil)
	if err != nil {
		return nil, err
	}
	return resolveIdentities(all, endpoints, refs(r))
}

func (s *Server) ports(r *http.Request) (any, error) {
	if s.backend.Ports == nil {
		return nil, missing("ports")
	}
	all, err := s.backend.Ports.Ports(r.Context())
	if err != nil {
		return nil, err
	}
	ids, err := s.findIDs(r.Context(), refs(r))
	if err != nil || ids == nil {
		return all, err
	}
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	return filter(all, func(p api.Port) bool { return wanted[p.Endpoint] }), nil
}

func (s *Server) addresses(r *http.Request) (any, error) {
	if s.backend.Kernel == nil {
		return nil, missing("kernel tables")
	}
	return s.backend.Kernel.Addresses(r.Context())
}

func (s *Server) policyEntries(r *http.Request) (any, error) {
	if s.backend.Kernel == nil {
		return nil, missing("kernel tables")
	}
	ids, err := s.findIDs(r.Context(), refs(r))
	if err != nil {
		return nil, err
	}
	return s.backend.Kernel.PolicyEntries(r.Context(), ids)
}

func (s *Server) metrics(r *http.Request) (any, error) {
	if s.backend.Kernel == nil {
		return nil, missing("kernel tables")
	}
	return s.backend.Kernel.Metrics(r.Context())
}

// connectionFilter keeps the connections that have an address of the endpoints that the request names.
func (s *Server) connectionFilter(r *http.Request) (func(api.Connection) bool, error) {
	if len(refs(r)) == 0 {
		return func(api.Connection) bool { return true }, nil
	}
	found, err := s.find(r.Context(), refs(r))
	if err != nil {
		return nil, err
	}
	wanted := map[netip.Addr]bool{}
	for _, e := range found {
		for _, p := range []netip.Prefix{e.IPv4, e.IPv6} {
			if p.IsValid() {
				wanted[p.Addr()] = true
			}
		}
	}
	return func(c api.Connection) bool {
		return wanted[c.Source.Addr().Unmap()] || wanted[c.Destination.Addr().Unmap()]
	}, nil
}

func (s *Server) logLevel(*http.Request) (any, error) {
	if s.backend.Log == nil {
		return nil, missing("log level")
	}
	return api.LogLevel{Level: s.backend.Log.LogLevel()}, nil
}

func (s *Server) setLogLevel(r *http.Request) (any, error) {
	req, err := decode[api.LogLevel](r, maxBody)
	if err != nil {
		return nil, err
	}
	if s.backend.Log == nil {
		return nil, missing("log level")
	}
	if err := s.backend.Log.SetLogLevel(req.Level); err != nil {
		return nil, err
	}
	return s.logLevel(r)
}
