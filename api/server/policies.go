package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/sluice-net/sluice/api"
)

func (s *Server) policies(r *http.Request) (any, error) {
	all, err := s.listPolicies(r.Context())
	if err != nil {
		return nil, err
	}
	return resolvePolicies(all, refs(r))
}

func (s *Server) listPolicies(ctx context.Context) ([]api.Policy, error) {
	if s.backend.Policies == nil {
		return nil, missing("policies")
	}
	return s.backend.Policies.Policies(ctx)
}

func (s *Server) policyFiles(r *http.Request) (any, error) {
	if s.backend.Files == nil {
		return nil, missing("policy files")
	}
	return s.backend.Files.PolicyFiles(r.Context())
}

// policyBody reads a request with documents.
func (s *Server) policyBody(r *http.Request) (api.ApplyRequest, error) {
	req, err := decode[api.ApplyRequest](r, maxPolicyBody)
	switch {
	case err != nil:
		return req, err
	case len(req.Sources) == 0:
		return req, api.Errorf(api.CodeInvalid, "read policies: there is no document")
	case s.backend.Policies == nil:
		return req, missing("policies")
	}
	return req, checkWaiting(req.Waiting)
}

func (s *Server) applyPolicies(r *http.Request) (any, error) {
	req, err := s.policyBody(r)
	if err != nil {
		return nil, err
	}
	change, err := s.backend.Policies.ApplyPolicies(r.Context(), req.Sources)
	if err != nil {
		return nil, err
	}
	return s.wait(r.Context(), change, req.Waiting)
}

func (s *Server) validatePolicies(r *http.Request) (any, error) {
	req, err := s.policyBody(r)
	if err != nil {
		return nil, err
	}
	return s.backend.Policies.ValidatePolicies(r.Context(), req.Sources)
}

func (s *Server) deletePolicies(r *http.Request) (any, error) {
	req, err := decode[api.DeleteRequest](r, maxBody)
	if err != nil {
		return nil, err
	}
	if req.All == (len(req.Names) > 0) {
		return nil, api.Errorf(api.CodeInvalid, "delete policies: name either policies or all")
	}
	if err := checkWaiting(req.Waiting); err != nil {
		return nil, err
	}
	all, err := s.listPolicies(r.Context())
	if err != nil {
		return nil, err
	}
	if req.All {
		all = slices.DeleteFunc(all, func(p api.Policy) bool { return p.Origin != api.OriginDocument })
	}
	found, err := resolvePolicies(all, req.Names)
	if err != nil || len(found) == 0 {
		return api.Change{}, err
	}
	for _, p := range found {
		if p.Origin == api.OriginLabel {
			return nil, api.Errorf(api.CodeInvalid,
				"delete policy %s: it is the %s: \"sluice endpoint label\" changes them", p.Name, p.Source)
		}
	}
	names := make([]string, len(found))
	for i, p := range found {
		names[i] = p.Name
	}
	change, err := s.backend.Policies.DeletePolicies(r.Context(), names)
	if err != nil {
		return nil, err
	}
	return s.wait(r.Context(), change, req.Waiting)
}

// checkWaiting refuses absurd times before anything is changed.
func checkWaiting(w api.Waiting) error {
	if w.Timeout < 0 || w.Timeout > api.MaxWait {
		return api.Errorf(api.CodeInvalid, "wait for regeneration: the timeout must be between 0 and %s", api.MaxWait)
	}
	return nil
}

// wait adds to a change what became of the programs, if the client wants to wait for them. The change stays in
// effect when the wait fails.
func (s *Server) wait(ctx context.Context, change api.Change, w api.Waiting) (any, error) {
	if !w.Wait {
		return change, nil
	}
	if s.backend.Revisions == nil {
		return nil, missing("revisions to wait for")
	}
	timeout := w.Timeout
	if timeout == 0 {
		timeout = api.DefaultWait
	}
	extend(ctx, timeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done, err := s.backend.Revisions.Wait(ctx, change.Revision)
	if err != nil {
		return nil, fmt.Errorf("wait for revision %d (the change itself was accepted): %w", change.Revision, err)
	}
	change.Regenerations = done
	return change, nil
}
