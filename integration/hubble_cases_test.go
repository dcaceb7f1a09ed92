package integration

import (
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

const (
	dropped   = flowpb.Verdict_DROPPED
	forwarded = flowpb.Verdict_FORWARDED
	ingress   = flowpb.TrafficDirection_INGRESS
	egress    = flowpb.TrafficDirection_EGRESS
)

func syn(f *flowpb.TCPFlags) bool { return f.GetSYN() }
func ack(f *flowpb.TCPFlags) bool { return f.GetACK() }
func fin(f *flowpb.TCPFlags) bool { return f.GetFIN() }
func rst(f *flowpb.TCPFlags) bool { return f.GetRST() }

// filterCases is the table of hubble-filters, about the containers of the scenario hubble: web, api and db of the compose
// project shop, cron by itself, the host, and machines outside.
var filterCases = []filterCase{
	// verdicts, types, reasons
	{args: "", match: isAny, both: true},
	{args: "--verdict DROPPED", match: verdictIs(dropped), both: true},
	{args: "--verdict FORWARDED", match: verdictIs(forwarded)},
	{args: "--verdict DROPPED --verdict FORWARDED", match: or(verdictIs(dropped), verdictIs(forwarded))},
	{args: "--verdict AUDIT", match: verdictIs(flowpb.Verdict_AUDIT)},
	{args: "--verdict REDIRECTED", match: isNothing},
	{args: "--not --verdict DROPPED", match: not(verdictIs(dropped)), both: true},
	{args: "--type drop", match: typeIs(1), both: true},
	{args: "--type trace", match: typeIs(4), both: true},
	{args: "--type policy-verdict", match: typeIs(5), both: true},
	{args: "--type trace:to-endpoint", match: subtypeIs(4, 0), both: true},
	{args: "--type trace:to-network", match: subtypeIs(4, 11)},
	{args: "--type drop --type policy-verdict", match: or(typeIs(1), typeIs(5))},
	{args: "--not --type drop", match: not(typeIs(1))},
	{args: "--type l7", match: isNothing},
	{args: "--drop-reason-desc POLICY_DENIED", match: reasonIs(flowpb.DropReason_POLICY_DENIED), both: true},
	{args: "--drop-reason-desc POLICY_DENY", match: reasonIs(flowpb.DropReason_POLICY_DENY)},
	{args: "--drop-reason-desc POLICY_DENIED --drop-reason-desc POLICY_DENY", match: or(reasonIs(flowpb.DropReason_POLICY_DENIED), reasonIs(flowpb.DropReason_POLICY_DENY))},

	// containers
	{args: "--pod shop/shop-web", match: either(podIs("shop", "shop-web")), both: true},
	{args: "--pod shop/", match: either(podIs("shop", "")), both: true},
	{args: "--pod /shop-db", match: either(podIs("", "shop-db"))},
	{args: "--pod cron", match: either(podIs("default", "cron")), both: true},
	{args: "--from-pod shop/shop-web", match: from(podIs("shop", "shop-web"))},
	{args: "--to-pod shop/shop-db", match: to(podIs("shop", "shop-db"))},
	{args: "--from-pod shop/shop-web --to-pod shop/shop-api", match: and(from(podIs("shop", "shop-web")), to(podIs("shop", "shop-api")))},
	{args: "--from-pod shop/shop-web --from-pod default/cron", match: or(from(podIs("shop", "shop-web")), from(podIs("default", "cron")))},
	{args: "--pod nobody", match: isNothing},
	{args: "--namespace shop", match: either(namespaceIs("shop")), both: true},
	{args: "--from-namespace shop", match: from(namespaceIs("shop"))},
	{args: "--to-namespace shop", match: to(namespaceIs("shop"))},
	{args: "--to-namespace default", match: to(namespaceIs("default"))},
	{args: "--not --namespace shop", match: not(either(namespaceIs("shop")))},
	{args: "--workload web", match: either(workloadIs("web")), both: true},
	{args: "--from-workload cron", match: from(workloadIs("cron"))},
	{args: "--to-workload shop/db", match: to(workloadIs("shop/db"))},

	// labels
	{args: "--label app=web", match: either(labelIs("app=web")), both: true},
	{args: "--from-label k8s:app=web", match: from(labelIs("k8s:app=web"))},
	{args: "--to-label com.docker.compose.service=db", match: to(labelIs("com.docker.compose.service=db")), both: true},
	{args: "--label container:tier=data", match: either(labelIs("container:tier=data"))},
	{args: "--label tier", match: either(hasLabel("tier"))},
	{quoted: []string{"--from-label", "app in (web, api)"}, match: from(func(e *flowpb.Endpoint) bool { return labelIs("app=web")(e) || labelIs("app=api")(e) }), both: true},
	{quoted: []string{"--to-label", "app notin (web, api)"}, match: to(func(e *flowpb.Endpoint) bool { return !labelIs("app=web")(e) && !labelIs("app=api")(e) })},
	{quoted: []string{"--to-label", "!tier"}, match: to(func(e *flowpb.Endpoint) bool { return !hasLabel("tier")(e) })},
	{quoted: []string{"--to-label", "app,tier!=data"}, match: to(func(e *flowpb.Endpoint) bool { return hasLabel("app")(e) && !labelIs("tier=data")(e) })},
	{args: "--label reserved:world", match: either(labelIs("reserved:world")), both: true},
	{args: "--from-label reserved:host", match: from(labelIs("reserved:host"))},

	// identities
	{args: "--identity world", match: either(identityIs(2)), both: true},
	{args: "--to-identity 2", match: to(identityIs(2))},
	{args: "--from-identity host", match: from(identityIs(1))},

	// addresses
	{args: "-4", match: isV4, both: true},
	{args: "-6", match: isV6, both: true},
	{args: "--ip-version none", match: func(x *flow) bool { return x.GetIP() == nil }},
	{args: "--ip 10.90.0.20", match: or(fromIP("10.90.0.20/32"), toIP("10.90.0.20/32")), both: true},
	{args: "--from-ip 10.90.0.0/24", match: fromIP("10.90.0.0/24")},
	{args: "--to-ip fd90::/64", match: toIP("fd90::/64"), both: true},
	{args: "--to-ip 198.51.100.1", match: toIP("198.51.100.1/32")},
	{args: "--not --ip fd90::20", match: not(or(fromIP("fd90::20/128"), toIP("fd90::20/128")))},
	{args: "--snat-ip 10.77.0.1", match: translatedTo("10.77.0.1/32")},
	{args: "--snat-ip fd77::/64", match: translatedTo("fd77::/64")},

	// ports and protocols
	{args: "--port 80", match: portIs(80), both: true},
	{args: "--to-port 80", match: toPort(80)},
	{args: "--from-port 80", match: fromPort(80)},
	{args: "--to-port 80 --to-port 53", match: or(toPort(80), toPort(53))},
	{args: "--protocol tcp", match: isTCP, both: true},
	{args: "--protocol udp", match: isUDP, both: true},
	{args: "--protocol icmp", match: or(isICMP4, isICMP6), both: true},
	{args: "--protocol icmpv4", match: isICMP4},
	{args: "--protocol icmpv6", match: isICMP6},
	{args: "--protocol udp --protocol icmp", match: or(isUDP, isICMP4, isICMP6)},
	{args: "--protocol http", match: isNothing},
	{args: "--tcp-flags syn", match: flags(syn), both: true},
	{args: "--tcp-flags syn,ack", match: flags(syn, ack)},
	{args: "--tcp-flags fin --tcp-flags rst", match: or(flags(fin), flags(rst))},
	{args: "--not --tcp-flags syn", match: not(flags(syn))},

	// the connection
	{args: "--traffic-direction ingress", match: direction(ingress), both: true},
	{args: "--traffic-direction egress", match: direction(egress), both: true},
	{args: "--reply", match: replies(true), newOnly: true},
	{args: "--not-reply", match: replies(false), newOnly: true},

	// names, services, interfaces, nodes
	{args: "--fqdn *.example", match: isNothing},
	{args: "--to-service shop/web", match: func(x *flow) bool {
		return x.GetDestinationService().GetNamespace() == "shop" && strings.HasPrefix(x.GetDestinationService().GetName(), "web")
	}},
	{args: "--interface eth0", match: func(x *flow) bool { return x.GetInterface().GetName() == "eth0" }},
	{args: "--node-name sluice-*", match: isAny, both: true},
	{args: "--node-name elsewhere", match: isNothing},
	{args: "--node-label kubernetes.io/os=linux", match: isAny, both: true},
	{args: "--node-label zone=a", match: isNothing},
	{args: "--cluster default", match: isAny, both: true},
	{args: "--from-cluster default", match: func(x *flow) bool { return x.GetSource().GetClusterName() == "default" }},
	{args: "--unencrypted", match: func(x *flow) bool { return x.GetIP() != nil }, newOnly: true},
	{args: "--encrypted", match: isNothing, newOnly: true},
	{args: "--trace-id 0af7651916cd43dd8448eb211c80319c", match: isNothing},
	{args: "--http-status 5+", match: isNothing},
	{args: "--http-method get", match: isNothing},

	// expressions, and filters as they are sent
	{quoted: []string{"--cel-expression", "_flow.verdict == Verdict.DROPPED && _flow.l4.TCP.destination_port == uint(80)"}, match: and(verdictIs(dropped), isTCP, toPort(80)), both: true},
	{quoted: []string{"--cel-expression", "_flow.source.pod_name.startsWith('shop-web')"}, match: from(podIs("", "shop-web"))},
	{args: `--allowlist {"source_pod":["shop/shop-web"],"protocol":["tcp"]} --denylist {"verdict":["DROPPED"]}`,
		match: and(from(podIs("shop", "shop-web")), isTCP, not(verdictIs(dropped))), both: true},

	// several at once
	{args: "--namespace shop --verdict DROPPED --protocol tcp", match: and(either(namespaceIs("shop")), verdictIs(dropped), isTCP), both: true},
	{args: "--from-label app=web --to-port 80 -6 --type trace", match: and(from(labelIs("app=web")), toPort(80), isV6, typeIs(4))},
	{args: "--pod cron --not --protocol icmp", match: and(either(podIs("default", "cron")), not(or(isICMP4, isICMP6)))},
	{args: "--to-identity world --traffic-direction egress --protocol tcp", match: and(to(identityIs(2)), direction(egress), isTCP)},
}
