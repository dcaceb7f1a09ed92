package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/bench/load"
)

// Of the entries of the large policies, so many are address ranges and so many single ports.
const (
	manyRanges = 2500
	manyPorts  = 2500
)

const patience = 30 * time.Second

// noEntries are no further ones.
func noEntries(string, string, string) string { return "" }

// applyPolicies gives all pairs of containers policies at both ends.
func (s *scene) applyPolicies(ctx context.Context) error {
	var documents strings.Builder
	for _, pair := range []struct {
		prefix string
		extra  func(direction, peers, ranges string) string
	}{{"", noEntries}, {"quiet-", noEntries}, {"loud-", noEntries}, {"many-", manyEntries}} {
		client, server := pair.prefix+"client", pair.prefix+"server"
		documents.WriteString(document(client, "egress", server, pair.extra("egress", "toEndpoints", "toCIDR")))
		documents.WriteString(document(server, "ingress", client, pair.extra("ingress", "fromEndpoints", "fromCIDR")))
	}
	change, err := s.apply(ctx, documents.String())
	if err != nil {
		return err
	}
	for _, r := range change.Regenerations {
		if r.Error != "" {
			return fmt.Errorf("regenerate %s: %s", r.Container, r.Error)
		}
	}
	return nil
}

// apply stores documents and waits until they are enforced.
func (s *scene) apply(ctx context.Context, text string) (api.Change, error) {
	change, err := s.api.ApplyPolicies(ctx, api.ApplyRequest{
		Sources: []api.PolicySource{{Source: "bench", Text: text}},
		Waiting: api.Waiting{Wait: true, Timeout: patience},
	})
	if err != nil {
		return change, fmt.Errorf("apply policies: %w", err)
	}
	return change, nil
}

// document lets subject speak to peer in a direction, on the ports of the load, and through its published ports with the
// outside. extra are more entries of that direction.
func document(subject, direction, peer, extra string) string {
	peers, ranges := "toEndpoints", "toCIDR"
	if direction == "ingress" {
		peers, ranges = "fromEndpoints", "fromCIDR"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: %s}\nspec:\n", subject)
	fmt.Fprintf(&b, "  endpointSelector: {matchLabels: {app: %s}}\n  %s:\n", subject, direction)
	fmt.Fprintf(&b, "  - %s: [{matchLabels: {app: %s}}]\n    toPorts: [{ports: [", peers, peer)
	fmt.Fprintf(&b, `{port: "%d", endPort: %d, protocol: ANY}]}]`+"\n", serverPort, serverPort+load.Ports-1)
	fmt.Fprintf(&b, "  - %s: [10.77.0.2/32]\n", ranges)
	return b.String() + extra
}

// manyEntries are address ranges that do not merge, and ports that do not.
func manyEntries(_, peers, ranges string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - %s:\n", ranges)
	for i := range manyRanges {
		fmt.Fprintf(&b, "    - 11.%d.%d.0/25\n", i>>8, i&0xff)
	}
	fmt.Fprintf(&b, "  - %s: [{matchExpressions: [{key: app, operator: Exists}]}]\n    toPorts:\n", peers)
	const perRule = 40 // at most, by the format
	for i := 0; i < manyPorts; i += perRule {
		b.WriteString("    - ports:\n")
		for j := i; j < min(i+perRule, manyPorts); j++ {
			fmt.Fprintf(&b, "      - {port: \"%d\", protocol: TCP}\n", 20000+2*j)
		}
	}
	return b.String()
}
