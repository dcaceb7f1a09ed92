package server

import (
	"net/http"

	"github.com/sluice-net/sluice/api"
)

func (s *Server) explain(r *http.Request) (any, error) {
	req, err := decode[api.ExplainRequest](r, maxPolicyBody)
	switch {
	case err != nil:
		return nil, err
	case s.backend.Insight == nil:
		return nil, missing("explanations")
	case req.From == "" || req.To == "":
		return nil, api.Errorf(api.CodeInvalid, "explain policy: name both ends")
	}
	return s.backend.Insight.Explain(r.Context(), req, func(ref string) ([]string, error) {
		return s.findIDs(r.Context(), []string{ref})
	})
}

func (s *Server) diffPolicies(r *http.Request) (any, error) {
	req, err := s.policyBody(r)
	switch {
	case err != nil:
		return nil, err
	case s.backend.Insight == nil:
		return nil, missing("explanations")
	}
	return s.backend.Insight.DiffPolicies(r.Context(), req.Sources)
}

func (s *Server) exposed(r *http.Request) (any, error) {
	req, err := decode[api.ExposedRequest](r, maxPolicyBody)
	switch {
	case err != nil:
		return nil, err
	case s.backend.Insight == nil:
		return nil, missing("explanations")
	}
	ids, err := s.findIDs(r.Context(), req.Refs)
	if err != nil {
		return nil, err
	}
	return s.backend.Insight.Exposed(r.Context(), ids, req.Allow)
}

func (s *Server) graph(r *http.Request) (any, error) {
	if s.backend.Insight == nil {
		return nil, missing("explanations")
	}
	ids, err := s.findIDs(r.Context(), refs(r))
	if err != nil {
		return nil, err
	}
	return s.backend.Insight.Graph(r.Context(), ids)
}

func (s *Server) learn(r *http.Request) (any, error) {
	req, err := decode[api.LearnRequest](r, maxBody)
	switch {
	case err != nil:
		return nil, err
	case s.backend.Insight == nil:
		return nil, missing("explanations")
	case req.Ref == "":
		return nil, api.Errorf(api.CodeInvalid, "learn policy: name a container or a compose service")
	}
	switch req.Format {
	case "":
		req.Format = api.LearnLabels
	case api.LearnLabels, api.LearnYAML, api.LearnCNP:
	default:
		return nil, api.Errorf(api.CodeInvalid, "learn policy of %q: the format is labels, yaml or cnp, not %q", req.Ref, req.Format)
	}
	ids, err := s.findIDs(r.Context(), []string{req.Ref})
	if err != nil {
		return nil, err
	}
	return s.backend.Insight.Learn(r.Context(), ids, req)
}
