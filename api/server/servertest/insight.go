package servertest

import (
	"github.com/sluice-net/sluice/api"
)

// sampleInsight fills in what the fake says of policy.
func sampleInsight(f *Fake) {
	web := api.Party{Addr: addr("172.31.0.2"), Endpoint: WebB, Container: "web", Project: "shop", Service: "frontend", Network: "back", Identity: 257}
	db := api.Party{Addr: addr("172.31.0.3"), Endpoint: DB, Container: "db", Network: "back", Identity: 258}
	f.Explained = api.Explanation{
		From: "web", To: "db:6379", Port: "tcp 6379", Verdict: api.VerdictDenied, Paths: []api.ExplainedPath{{
			Source: web, Destination: db, Ports: "tcp 6379", Verdict: api.VerdictDenied, Steps: []api.ExplainStep{
				{Step: api.Egress, Container: "web", Network: "back", Verdict: api.VerdictAllowed, Why: "no rule restricts egress of the container",
					Revision: 12, By: api.ByProgram},
				{Step: api.Ingress, Container: "db", Network: "back", Verdict: api.VerdictDenied, Policy: "allow-web", Rule: "default deny",
					Source: "allow-web.yaml:5", Why: "no rule allows it, and ingress of the container is closed by allow-web", Revision: 11, By: api.ByProgram},
			},
			Flip: []api.Remedy{{Verdict: api.VerdictAllowed, Container: "db", Labels: map[string]string{"sluice.ingress": "shop/frontend:6379"},
				Commands: []string{"sluice endpoint label db --add 'sluice.ingress=shop/frontend:6379'"}}},
		}},
	}
	f.DiffValue = api.PolicyDiff{
		Policies: []api.PolicyResult{{Name: "allow-web", Kind: "CiliumNetworkPolicy", Action: api.ActionValid, Endpoints: 1}},
		Pairs:    []api.PairChange{{From: "@host", To: "db", Closed: "any"}, {From: "shop/frontend", To: "db", Opened: "tcp 6379", Closed: "udp 53"}},
		Connections: []api.ConnectionChange{{Change: api.ConnectionCut, From: "@host", To: "db", Protocol: "tcp",
			Source: addrPort("172.31.0.1:40212"), Destination: addrPort("172.31.0.3:5432"), Rule: "allow-web: default deny"}},
		Endpoints: 1,
	}
	f.ExposureList = []api.Exposure{
		{Container: "db", Network: "back", Address: addr("172.31.0.3"), Ports: "tcp 5432", From: "shop/frontend", Policy: "allow-web",
			Rule: "ingress[0]", Source: "allow-web.yaml:7"},
		{Container: "shop/frontend", Network: "front", Address: addr("0.0.0.0"), Published: true, Ports: "tcp 8080", Target: 80, From: "@internet"},
	}
	f.EdgeList = []api.Edge{
		{From: "@internet", To: "shop/frontend", Ports: "tcp 80"},
		{From: "shop/frontend", To: "db", Ports: "tcp 5432"},
	}
	f.LearnedValue = api.Learned{
		Subject: "shop/frontend", Since: Now, Mode: "learn", Policy: "labels:\n  sluice.egress: name:db:5432\n  sluice.ingress: '@none'\n",
		Flows: []api.LearnedFlow{{Direction: api.Egress, Peer: "name:db", Ports: "tcp 5432", Count: 3, Last: Now}},
	}
}
