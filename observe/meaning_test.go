package observe

import (
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// TestMeaning: what consumers ask of flows.
func TestMeaning(t *testing.T) {
	type says struct {
		verdict   string
		direction Direction
		reply     Reply
		reason    abi.DropReason
		isVerdict bool
		side      string
	}
	trace := func(point, reply uint8) abi.Event {
		return with(func(e *abi.Event) {
			e.Type, e.Reason, e.Rule, e.Side, e.Point, e.Reply, e.Opened = abi.EventTrace, 0, 0, 0, point, reply, 1
		})
	}
	for name, c := range map[string]struct {
		in   abi.Event
		want says
	}{
		"it opens":                       {trace(abi.PointEgress, 0), says{api.VerdictForwarded, Egress, ReplyFalse, 0, false, ""}},
		"it answers":                     {trace(abi.PointEgress, 1), says{api.VerdictForwarded, Ingress, ReplyTrue, 0, false, ""}},
		"it is opened to":                {trace(abi.PointIngress, 0), says{api.VerdictForwarded, Ingress, ReplyFalse, 0, false, ""}},
		"it is answered":                 {trace(abi.PointIngress, 1), says{api.VerdictForwarded, Egress, ReplyTrue, 0, false, ""}},
		"it is opened to, at the uplink": {trace(abi.PointUplink, 0), says{api.VerdictForwarded, Ingress, ReplyFalse, 0, false, ""}},
		"it is answered, at the uplink":  {trace(abi.PointUplink, 1), says{api.VerdictForwarded, Egress, ReplyTrue, 0, false, ""}},
		"dropped by policy":              {denied(), says{api.VerdictDropped, Egress, ReplyUnknown, abi.DropPolicyDenied, false, api.Egress}},
		"dropped in a flow": {with(func(e *abi.Event) { e.Opened = 1 }),
			says{api.VerdictDropped, Egress, ReplyFalse, abi.DropPolicyDenied, false, api.Egress}},
		"an answer is dropped": {with(func(e *abi.Event) { e.Point, e.Reply = abi.PointIngress, 1 }),
			says{api.VerdictDropped, Egress, ReplyTrue, abi.DropPolicyDenied, false, api.Egress}},
		"dropped by the list of a published port": {with(func(e *abi.Event) {
			e.Point, e.Side, e.Reason = abi.PointIngress, abi.PolicyPublish, uint16(abi.DropPublishDenied)
		}), says{api.VerdictDropped, Ingress, ReplyUnknown, abi.DropPublishDenied, false, api.Publish}},
		"dropped by the way": {with(func(e *abi.Event) { e.Reason, e.Side = uint16(abi.DropNoRoute), 0 }),
			says{api.VerdictDropped, Egress, ReplyUnknown, abi.DropNoRoute, false, ""}},
		"audit": {with(func(e *abi.Event) { e.Type, e.Side, e.Point = abi.EventAudit, abi.PolicyIngress, abi.PointIngress }),
			says{api.VerdictAudit, Ingress, ReplyFalse, abi.DropPolicyDenied, true, api.Ingress}},
		"learnt": {with(func(e *abi.Event) { e.Type, e.Reason = abi.EventLearn, 0 }),
			says{api.VerdictLearned, Egress, ReplyFalse, 0, true, api.Egress}},
	} {
		f := flowOf(t, c.in)
		if got := (says{f.Verdict(), f.Direction(), f.Reply(), f.Reason(), f.IsVerdict(), f.Side()}); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
	if lost := lostFlow(boot, &api.Lost{Count: 1}, nil); !lost.IsLost() || lost.Verdict() != "" || lost.EventType() != api.EventLost ||
		lost.Reply() != ReplyUnknown || lost.Direction() != DirectionUnknown {
		t.Errorf("lost flows are %+v", lost)
	}
}

// TestJudgedRecords: what a record carries of a judgement becomes a flow of its own, before what became of the packet.
func TestJudgedRecords(t *testing.T) {
	for name, c := range map[string]struct {
		in       abi.Event
		verdicts []string
	}{
		"allowed":                    {with(func(e *abi.Event) { e.Type, e.Reason, e.Judged = abi.EventTrace, 0, abi.JudgedAllowed }), []string{api.VerdictAllowed, api.VerdictForwarded}},
		"denied":                     {with(func(e *abi.Event) { e.Judged = abi.JudgedDenied }), []string{api.VerdictDenied, api.VerdictDropped}},
		"allowed, and has no route":  {with(func(e *abi.Event) { e.Judged, e.Reason = abi.JudgedAllowed, uint16(abi.DropNoRoute) }), []string{api.VerdictAllowed, api.VerdictDropped}},
		"not judged":                 {denied(), []string{api.VerdictDropped}},
		"audits tell for themselves": {with(func(e *abi.Event) { e.Type, e.Judged = abi.EventAudit, abi.JudgedDenied }), []string{api.VerdictAudit}},
	} {
		all := flowsOf(c.in)
		if len(all) != len(c.verdicts) {
			t.Errorf("%s: %d flows", name, len(all))
			continue
		}
		for i, f := range all {
			if f.Verdict() != c.verdicts[i] || f.Source != webParty || f.Destination != dbParty || f.Endpoint != webParty || !f.Time.Equal(all[0].Time) {
				t.Errorf("%s: flow %d is %s of %+v", name, i, f.Verdict(), f)
			}
			if i == 0 && len(all) == 2 && f.Rule != testRules[abi.PolicyEgress] {
				t.Errorf("%s: the verdict is by %v", name, f.Rule)
			}
		}
	}
}

func TestPacket(t *testing.T) {
	f := flowOf(t, with(func(e *abi.Event) {
		e.TCPFlags, e.DNATAddr, e.DNATPort, e.SNATAddr, e.SNATPort = 0x12, ip("192.0.2.10"), abi.ToBE16(8080), ip("2001:db8::1"), abi.ToBE16(61000)
	}))
	if f.TCPFlags() != "SYN,ACK" || f.Protocol() != "tcp" || f.SourcePort() != 40212 || f.DestinationPort() != 5432 || f.Published != 8080 ||
		f.DNAT() != netip.MustParseAddrPort("192.0.2.10:8080") || f.SNAT() != netip.MustParseAddrPort("[2001:db8::1]:61000") {
		t.Errorf("%+v: flags %q, from %v, to %v", f, f.TCPFlags(), f.SNAT(), f.DNAT())
	}
	plain := flowOf(t, with(func(e *abi.Event) { e.Proto = 17 }))
	if plain.TCPFlags() != "" || plain.DNAT().IsValid() || plain.SNAT().IsValid() || plain.Published != 0 || !plain.Opened().IsZero() || plain.Age() != 0 {
		t.Errorf("%+v", plain)
	}
	icmp := flowOf(t, with(func(e *abi.Event) { e.Proto = 1 }))
	if icmp.HasPorts() || icmp.SourcePort() != 0 || icmp.Protocol() != "icmp" {
		t.Errorf("%+v", icmp)
	}
}

func TestPartiesHaveNames(t *testing.T) {
	for _, c := range []struct {
		party                          *Party
		name, namespace, workload, pod string
		isContainer                    bool
	}{
		{webParty, "web", "shop", "front", "web", true},
		{dbParty, "db", "default", "db", "db", true},
		{hostParty, "host", "", "", "", false},
		{worldParty, "world", "", "", "", false},
		{goneParty, "", "default", "", "", true},
		{&Party{EndpointID: "0123456789abcdef"}, "0123456789ab", "default", "", "", true},
		{nobody, "", "", "", "", false},
	} {
		p := c.party
		if p.Name() != c.name || p.Namespace() != c.namespace || p.Workload() != c.workload || p.PodName() != c.pod || p.IsContainer() != c.isContainer {
			t.Errorf("%+v: %q, %q, %q, %q, %v", p, p.Name(), p.Namespace(), p.Workload(), p.PodName(), p.IsContainer())
		}
	}
}
