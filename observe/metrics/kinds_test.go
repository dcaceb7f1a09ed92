package metrics

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

var (
	byName   = &observe.Rule{Policy: "web-only", Place: "egress[0]"}
	byRest   = &observe.Rule{Policy: "web-only", Default: true}
	noPolicy = &observe.Rule{Default: true}
)

func TestKinds(t *testing.T) {
	for name, c := range map[string]struct {
		config, metric string
		flows          []*observe.Flow
		want           []string
	}{
		"drops by reason": {"drop", "hubble_drop_total",
			[]*observe.Flow{flow(), flow(dropped(abi.DropPolicyDenied)), flow(dropped(abi.DropPolicyDenied), udp), flow(dropped(abi.DropSpoofedIP), sixth),
				flow(dropped(abi.DropSpoofedIP)), flow(judged(abi.EventVerdict, abi.DropPolicyDenied, byName))},
			[]string{"protocol=TCP,reason=INVALID_SOURCE_IP 2", "protocol=TCP,reason=POLICY_DENIED 1", "protocol=UDP,reason=POLICY_DENIED 1"}},
		"a rule's denial has another reason": {"drop", "hubble_drop_total",
			[]*observe.Flow{flow(dropped(abi.DropPolicyDenied), func(f *observe.Flow) { f.Rule = byName }), flow(dropped(abi.DropPolicyDenied), func(f *observe.Flow) { f.Rule = byRest })},
			[]string{"protocol=TCP,reason=POLICY_DENIED 1", "protocol=TCP,reason=POLICY_DENY 1"}},
		"flows": {"flow", "hubble_flows_processed_total",
			[]*observe.Flow{flow(), flow(), flow(reply), flow(to(world), udp), flow(dropped(abi.DropNotIP), func(f *observe.Flow) { f.Kernel.Family = 0 }),
				flow(judged(abi.EventVerdict, abi.DropNone, byName)), flow(judged(abi.EventAudit, abi.DropPolicyDenied, byName)), flow(ping(6, 128), to(host)),
				flow(func(f *observe.Flow) { f.Kernel.Cause = abi.CauseNew })},
			[]string{
				"protocol=ICMPv6,subtype=to-host,type=Trace,verdict=FORWARDED 1",
				"protocol=TCP,subtype=,type=PolicyVerdict,verdict=AUDIT 1",
				"protocol=TCP,subtype=,type=PolicyVerdict,verdict=FORWARDED 1",
				"protocol=TCP,subtype=from-endpoint,type=Trace,verdict=FORWARDED 1",
				"protocol=TCP,subtype=to-endpoint,type=Trace,verdict=FORWARDED 3",
				"protocol=UDP,subtype=to-network,type=Trace,verdict=FORWARDED 1",
				"protocol=Unknown,subtype=,type=Drop,verdict=DROPPED 1"}},
		"flows to the world": {"flows-to-world", "hubble_flows_to_world_total",
			[]*observe.Flow{flow(), flow(to(world)), flow(to(world), flags(ack)), flow(to(world), reply), flow(to(world), dropped(abi.DropPolicyDenied)),
				flow(to(world), dropped(abi.DropNoRoute)), flow(to(host)), flow(to(world), judged(abi.EventVerdict, abi.DropNone, byName))},
			[]string{"protocol=TCP,verdict=DROPPED 1", "protocol=TCP,verdict=FORWARDED 2"}},
		"flows to the world with options": {"flows-to-world:any-drop;port;syn-only", "hubble_flows_to_world_total",
			[]*observe.Flow{flow(to(world), port(443)), flow(to(world), flags(syn|ack)), flow(to(world), udp), flow(to(world), port(80), dropped(abi.DropNoRoute))},
			[]string{"port=443,protocol=TCP,verdict=FORWARDED 1", "port=80,protocol=TCP,verdict=DROPPED 1"}},
		"icmp": {"icmp", "hubble_icmp_total",
			[]*observe.Flow{flow(ping(4, 8)), flow(ping(4, 0)), flow(ping(6, 128)), flow(ping(6, 128)), flow(ping(4, 8), dropped(abi.DropPolicyDenied)),
				flow(ping(4, 3), func(f *observe.Flow) { f.Kernel.ICMPCode = 4 }), flow()},
			[]string{"family=IPv4,type=DestinationUnreachable 1", "family=IPv4,type=EchoReply 1", "family=IPv4,type=EchoRequest 1", "family=IPv6,type=EchoRequest 2"}},
		"verdicts": {"policy", "hubble_policy_verdicts_total",
			[]*observe.Flow{flow(), flow(judged(abi.EventVerdict, abi.DropNone, byName)), flow(judged(abi.EventVerdict, abi.DropPolicyDenied, byName)),
				flow(judged(abi.EventVerdict, abi.DropPolicyDenied, byRest)), flow(judged(abi.EventVerdict, abi.DropNone, noPolicy)),
				flow(judged(abi.EventAudit, abi.DropPolicyDenied, byRest)), flow(judged(abi.EventLearn, abi.DropNone, noPolicy)),
				flow(judged(abi.EventVerdict, abi.DropNone, byName), func(f *observe.Flow) { f.Kernel.Side = abi.PolicyIngress })},
			[]string{
				"action=audit,direction=egress,match=none 1", "action=dropped,direction=egress,match=l3-l4 1", "action=dropped,direction=egress,match=none 1",
				"action=forwarded,direction=egress,match=all 1", "action=forwarded,direction=egress,match=l3-l4 1",
				"action=forwarded,direction=ingress,match=l3-l4 1"}},
		"ports": {"port-distribution", "hubble_port_distribution_total",
			[]*observe.Flow{flow(), flow(port(53), udp), flow(port(53), udp), flow(reply), flow(ping(4, 8)), flow(dropped(abi.DropPolicyDenied))},
			[]string{"port=53,protocol=UDP 2", "port=5432,protocol=TCP 1"}},
		"tcp": {"tcp", "hubble_tcp_flags_total",
			[]*observe.Flow{flow(), flow(flags(syn|ack), reply), flow(flags(ack)), flow(flags(fin|ack), sixth), flow(flags(rst)), flow(udp), flow(dropped(abi.DropPolicyDenied))},
			[]string{"family=IPv4,flag=RST 1", "family=IPv4,flag=SYN 1", "family=IPv4,flag=SYN-ACK 1", "family=IPv6,flag=FIN 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, exposed(t, count(t, c.config, c.flows...), c.metric)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
