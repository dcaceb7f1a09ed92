package server

import "net/http"

// route is one path of the API. Exactly one of answer and stream is set.
type route struct {
	pattern string // method and path
	body    string // type of package api, or the query ref=, which may be repeated
	reply   string // type of package api
	about   string
	answer  handler
	stream  http.HandlerFunc
}

// routes are all paths; docs/reference/api.md is generated from them.
func (s *Server) routes() []route {
	const ref = "`?ref=`"
	return []route{
		{pattern: "GET /v1/version", reply: "Version", about: "what the daemon was built from", answer: s.version},
		{pattern: "GET /v1/status", reply: "Status", about: "how the daemon and the host are", answer: s.status},
		{pattern: "GET /v1/networks", body: ref, reply: "[]Network", about: "networks, all or those named", answer: s.networks},
		{pattern: "GET /v1/endpoints", body: ref, reply: "[]Endpoint", about: "endpoints, all or those named", answer: s.endpoints},
		{pattern: "POST /v1/endpoints/label", body: "LabelRequest", reply: "Change", about: "change live labels", answer: s.label},
		{pattern: "POST /v1/endpoints/regenerate", body: "RegenerateRequest", reply: "[]Regeneration", about: "make and swap programs anew", answer: s.regenerate},
		{pattern: "GET /v1/identities", body: ref, reply: "[]Identity", about: "identities, all or those of numbers, names or endpoints", answer: s.identities},
		{pattern: "GET /v1/policies", body: ref, reply: "[]Policy", about: "policies with their text, all or those named", answer: s.policies},
		{pattern: "GET /v1/policies/files", reply: "[]PolicyFile", about: "the files of the policy directory, broken ones with their problems", answer: s.policyFiles},
		{pattern: "POST /v1/policies", body: "ApplyRequest", reply: "Change", about: "store policies, all or none", answer: s.applyPolicies},
		{pattern: "POST /v1/policies/validate", body: "ApplyRequest", reply: "[]PolicyResult", about: "check policies, store nothing", answer: s.validatePolicies},
		{pattern: "POST /v1/policies/delete", body: "DeleteRequest", reply: "Change", about: "delete policies, all or none", answer: s.deletePolicies},
		{pattern: "POST /v1/policy/explain", body: "ExplainRequest", reply: "Explanation", about: "whether one end may reach another, and why", answer: s.explain},
		{pattern: "POST /v1/policy/diff", body: "ApplyRequest", reply: "PolicyDiff", about: "what documents would change, store nothing", answer: s.diffPolicies},
		{pattern: "POST /v1/policy/exposed", body: "ExposedRequest", reply: "[]Exposure", about: "every way into the containers", answer: s.exposed},
		{pattern: "GET /v1/policy/graph", body: ref, reply: "[]Edge", about: "who may open what to whom, all or what concerns endpoints", answer: s.graph},
		{pattern: "POST /v1/policy/learn", body: "LearnRequest", reply: "Learned", about: "the policy that covers what was seen", answer: s.learn},
		{pattern: "GET /v1/ports", body: ref, reply: "[]Port", about: "published ports, all or those of endpoints", answer: s.ports},
		{pattern: "POST /v1/events", body: "EventFilter", reply: "stream of Event", about: "events of the past, and with `follow` what comes", stream: s.events},
		{pattern: "POST /v1/traffic", body: "TrafficRequest", reply: "stream of Traffic", about: "rates by container, service or peer, a sample an interval", stream: s.traffic},
		{pattern: "POST /v1/capture", body: "CaptureRequest", reply: "stream of Captured", about: "packets of containers, until the client hangs up", stream: s.capture},
		{pattern: "GET /v1/bpf/conntrack", body: ref, reply: "stream of Connection", about: "the flow tables, or what of them belongs to endpoints", stream: s.connections},
		{pattern: "GET /v1/bpf/endpoints", reply: "[]AddressEntry", about: "the table of addresses", answer: s.addresses},
		{pattern: "GET /v1/bpf/policy", body: ref, reply: "[]PolicyEntry", about: "the compiled verdict tables", answer: s.policyEntries},
		{pattern: "GET /v1/bpf/metrics", reply: "[]Metric", about: "the packet counters", answer: s.metrics},
		{pattern: "GET /v1/log/level", reply: "LogLevel", about: "the daemon's log level", answer: s.logLevel},
		{pattern: "POST /v1/log/level", body: "LogLevel", reply: "LogLevel", about: "change it until the daemon is restarted", answer: s.setLogLevel},
	}
}
