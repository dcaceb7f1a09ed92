package filter

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

var (
	web = &observe.Party{
		Number: 4, EndpointID: "e1", Container: "shop-web-1", Project: "shop", Service: "web", Network: "front", Identity: 300,
		Labels: map[string]string{identity.LabelProject: "shop", identity.LabelService: "web", "tier": "edge", "weight": "7"},
	}
	db    = &observe.Party{Number: 5, EndpointID: "e2", Container: "db", Network: "front", Identity: 301, Labels: map[string]string{"tier": "data"}}
	world = &observe.Party{Entity: api.EntityWorld, Identity: abi.IdentityWorld}
)

func ip(s string) abi.IP { return abi.FromAddr(netip.MustParseAddr(s)) }

// The flows that cases are about, by name.
var flows = map[string]*observe.Flow{
	"out": { // web opens a connection to db
		Time: time.Unix(1, 0), Source: web, Destination: db, Endpoint: web, DestinationNames: []string{"db.front", "data.example"},
		Kernel: abi.Event{Src: ip("10.0.0.2"), Dst: ip("10.0.0.3"), Sport: abi.ToBE16(40212), Dport: abi.ToBE16(5432), Proto: 6, Family: 4,
			Type: abi.EventTrace, Point: abi.PointEgress, TCPFlags: 2, Opened: 1, Ifindex: 11},
	},
	"back": { // db accepts
		Time: time.Unix(2, 0), Source: db, Destination: web, Endpoint: db, SourceNames: []string{"db.front"},
		Kernel: abi.Event{Src: ip("10.0.0.3"), Dst: ip("10.0.0.2"), Sport: abi.ToBE16(5432), Dport: abi.ToBE16(40212), Proto: 6, Family: 4,
			Type: abi.EventTrace, Point: abi.PointEgress, TCPFlags: 18, Reply: 1, Opened: 1, Ifindex: 12},
	},
	"drop": { // web may not send datagrams to the world
		Time: time.Unix(3, 0), Source: web, Destination: world, Endpoint: web, Rule: &observe.Rule{Policy: "p", Default: true},
		Kernel: abi.Event{Src: ip("fd00::2"), Dst: ip("2001:db8::1"), Sport: abi.ToBE16(5353), Dport: abi.ToBE16(53), Proto: 17, Family: 6,
			Type: abi.EventDrop, Reason: uint16(abi.DropPolicyDenied), Side: abi.PolicyEgress, Point: abi.PointEgress, Ifindex: 11},
	},
	"ping": { // db pings the world, masqueraded
		Time: time.Unix(4, 0), Source: db, Destination: world, Endpoint: db, DestinationNames: []string{"www.example.org"},
		Kernel: abi.Event{Src: ip("10.0.0.3"), Dst: ip("198.51.100.1"), SNATAddr: ip("192.0.2.1"), Proto: 1, ICMPType: 8, Family: 4,
			Type: abi.EventTrace, Point: abi.PointEgress, Opened: 1, Ifindex: 12},
	},
	"verdict": { // the world may reach web by its published port
		Time: time.Unix(5, 0), Source: world, Destination: web, Endpoint: web, Published: 8080,
		Kernel: abi.Event{Src: ip("198.51.100.9"), Dst: ip("10.0.0.2"), Sport: abi.ToBE16(1), Dport: abi.ToBE16(80), Proto: 6, Family: 4,
			Type: abi.EventVerdict, Side: abi.PolicyIngress, Point: abi.PointIngress, TCPFlags: 2},
	},
	"published": { // db reaches web by it
		Time: time.Unix(6, 0), Source: db, Destination: web, Endpoint: web, Published: 8080,
		Kernel: abi.Event{Src: ip("10.0.0.3"), Dst: ip("10.0.0.2"), Sport: abi.ToBE16(2), Dport: abi.ToBE16(80), Proto: 6, Family: 4,
			Type: abi.EventTrace, Point: abi.PointIngress, TCPFlags: 24, Opened: 1},
	},
	"arp": { // no IP
		Time: time.Unix(7, 0), Source: web, Destination: &observe.Party{}, Endpoint: web,
		Kernel: abi.Event{Type: abi.EventDrop, Reason: uint16(abi.DropNotIP), Point: abi.PointEgress, Proto: 6, TCPFlags: 255, Ifindex: 11},
	},
}

func converter4() *convert.Converter {
	return convert.New(convert.Options{
		Node: "Host-A.example", Cluster: "east", Labels: []string{"zone=a", "kubernetes.io/os=linux"},
		Interface: func(index uint32) string { return map[uint32]string{11: "slc11", 12: "slc12"}[index] },
	})
}

type list = []*flowpb.FlowFilter

func one(f *flowpb.FlowFilter) list { return list{f} }

const all = "out back drop ping verdict published arp"

// matchCases say which flows lists of filters select.
var matchCases = []struct {
	name         string
	allow, block list
	want         string
}{
	{"nothing", nil, nil, all},
	{"an empty filter", one(&flowpb.FlowFilter{}), nil, all},
	{"an empty one against", nil, one(&flowpb.FlowFilter{}), ""},
	{"two alternatives", list{{SourcePort: []string{"5432"}}, {SourcePort: []string{"5353"}}}, nil, "back drop"},
	{"both lists", one(&flowpb.FlowFilter{SourcePod: []string{"/"}}), one(&flowpb.FlowFilter{Protocol: []string{"udp"}}), "out back ping published arp"},
	{"fields add up", one(&flowpb.FlowFilter{SourcePod: []string{"db"}, Protocol: []string{"tcp"}}), nil, "back published"},

	{"verdict", one(&flowpb.FlowFilter{Verdict: []flowpb.Verdict{flowpb.Verdict_DROPPED}}), nil, "drop arp"},
	{"reason", one(&flowpb.FlowFilter{DropReasonDesc: []flowpb.DropReason{flowpb.DropReason_POLICY_DENIED}}), nil, "drop"},
	{"type", one(&flowpb.FlowFilter{EventType: []*flowpb.EventTypeFilter{{Type: 1}, {Type: 5}}}), nil, "drop verdict arp"},
	{"subtype 0", one(&flowpb.FlowFilter{EventType: []*flowpb.EventTypeFilter{{Type: 4, MatchSubType: true}}}), nil, "out back published"},
	{"subtype", one(&flowpb.FlowFilter{EventType: []*flowpb.EventTypeFilter{{Type: 4, MatchSubType: true, SubType: 11}}}), nil, "ping"},
	{"IPv6", one(&flowpb.FlowFilter{IpVersion: []flowpb.IPVersion{flowpb.IPVersion_IPv6}}), nil, "drop"},
	{"no IP", one(&flowpb.FlowFilter{IpVersion: []flowpb.IPVersion{flowpb.IPVersion_IP_NOT_USED}}), nil, "arp"},
	{"protocol", one(&flowpb.FlowFilter{Protocol: []string{"UDP", "icmp"}}), nil, "drop ping"},
	{"protocol of another family", one(&flowpb.FlowFilter{Protocol: []string{"icmpv6", "http", "dns", "vrrp", "igmp", "sctp"}}), nil, ""},
	{"direction", one(&flowpb.FlowFilter{TrafficDirection: []flowpb.TrafficDirection{flowpb.TrafficDirection_INGRESS}}), nil, "back verdict published"},
	{"replies", one(&flowpb.FlowFilter{Reply: []bool{true}}), nil, "back"},
	{"no replies: drops are none", one(&flowpb.FlowFilter{Reply: []bool{false}}), nil, "out drop ping verdict published arp"},
	{"a flag", one(&flowpb.FlowFilter{TcpFlags: []*flowpb.TCPFlags{{SYN: true}}}), nil, "out back verdict"},
	{"two flags", one(&flowpb.FlowFilter{TcpFlags: []*flowpb.TCPFlags{{SYN: true, ACK: true}}}), nil, "back"},
	{"one of two sets of flags", one(&flowpb.FlowFilter{TcpFlags: []*flowpb.TCPFlags{{PSH: true}, {SYN: true, ACK: true}}}), nil, "back published"},
	{"a flag that is none", one(&flowpb.FlowFilter{TcpFlags: []*flowpb.TCPFlags{{NS: true}}}), nil, ""},
	{"encrypted", one(&flowpb.FlowFilter{Encrypted: []bool{true}}), nil, ""},
	{"unencrypted", one(&flowpb.FlowFilter{Encrypted: []bool{false}}), nil, "out back drop ping verdict published"},

	{"identity", one(&flowpb.FlowFilter{SourceIdentity: []uint32{301, 2}}), nil, "back ping verdict published"},
	{"port", one(&flowpb.FlowFilter{DestinationPort: []string{"80", "53"}}), nil, "drop verdict published"},
	{"port 0 is no port", one(&flowpb.FlowFilter{DestinationPort: []string{"0"}}), nil, ""},
	{"address", one(&flowpb.FlowFilter{SourceIp: []string{"10.0.0.2"}}), nil, "out"},
	{"mapped address", one(&flowpb.FlowFilter{SourceIp: []string{"::ffff:10.0.0.2"}}), nil, "out"},
	{"prefixes", one(&flowpb.FlowFilter{DestinationIp: []string{"198.51.100.77/24", "2001:db8::/32"}}), nil, "drop ping"},
	{"everything of a family", one(&flowpb.FlowFilter{DestinationIp: []string{"::/0"}}), nil, "drop"},
	{"masquerade", one(&flowpb.FlowFilter{SourceIpXlated: []string{"192.0.2.0/24"}}), nil, "ping"},

	{"pod", one(&flowpb.FlowFilter{SourcePod: []string{"shop/shop-"}}), nil, "out drop arp"},
	{"pod of the default namespace", one(&flowpb.FlowFilter{SourcePod: []string{"d"}}), nil, "back ping published"},
	{"pod of any namespace", one(&flowpb.FlowFilter{DestinationPod: []string{"/shop-web"}}), nil, "back verdict published"},
	{"namespace", one(&flowpb.FlowFilter{DestinationPod: []string{"default/"}}), nil, "out"},
	{"pod of a whole name", one(&flowpb.FlowFilter{SourcePod: []string{"db$"}}), nil, "back ping published"},
	{"pod of the beginning of a name, taken whole", one(&flowpb.FlowFilter{SourcePod: []string{"d$", "/shop-$"}}), nil, ""},
	{"pod of another", one(&flowpb.FlowFilter{SourcePod: []string{"shop-web-1"}}), nil, ""},
	{"service", one(&flowpb.FlowFilter{DestinationService: []string{"shop/we"}}), nil, "published"},
	{"service that answers", one(&flowpb.FlowFilter{SourceService: []string{"/"}}), nil, ""},
	{"workload", one(&flowpb.FlowFilter{SourceWorkload: []*flowpb.Workload{{Name: "web"}}}), nil, "out drop arp"},
	{"kind of workload", one(&flowpb.FlowFilter{DestinationWorkload: []*flowpb.Workload{{Kind: "Container"}}}), nil, "out"},
	{"workload of both", one(&flowpb.FlowFilter{SourceWorkload: []*flowpb.Workload{{Name: "web", Kind: "Container"}}}), nil, ""},
	{"cluster", one(&flowpb.FlowFilter{SourceClusterName: []string{"east"}}), nil, "out back drop ping published arp"},
	{"another cluster", one(&flowpb.FlowFilter{DestinationClusterName: []string{"west"}}), nil, ""},
	{"domain", one(&flowpb.FlowFilter{DestinationFqdn: []string{"Data.Example."}}), nil, "out"},
	{"domains", one(&flowpb.FlowFilter{DestinationFqdn: []string{"*.example.org", "x"}}), nil, "ping"},
	{"source domain", one(&flowpb.FlowFilter{SourceFqdn: []string{"*"}}), nil, "back"},

	{"label", one(&flowpb.FlowFilter{SourceLabel: []string{"tier=edge"}}), nil, "out drop arp"},
	{"label of a source", one(&flowpb.FlowFilter{SourceLabel: []string{"k8s:app=db"}}), nil, "back ping published"},
	{"label of another source", one(&flowpb.FlowFilter{SourceLabel: []string{"k8s:tier=edge"}}), nil, ""},
	{"compose's label by both names", one(&flowpb.FlowFilter{SourceLabel: []string{"container:com.docker.compose.service=web,compose.service=web"}}), nil, "out drop arp"},
	{"in", one(&flowpb.FlowFilter{SourceLabel: []string{"tier in (edge, data), app"}}), nil, "out back drop ping published arp"},
	{"notin", one(&flowpb.FlowFilter{DestinationLabel: []string{"tier notin (edge),app"}}), nil, "out"},
	{"absent", one(&flowpb.FlowFilter{DestinationLabel: []string{"!tier"}}), nil, "drop ping arp"},
	{"reserved", one(&flowpb.FlowFilter{DestinationLabel: []string{"reserved:world"}}), nil, "drop ping"},
	{"more", one(&flowpb.FlowFilter{SourceLabel: []string{"weight > 6", "weight<1"}}), nil, "out drop arp"},

	{"node", one(&flowpb.FlowFilter{NodeName: []string{"host-a.*"}}), nil, all},
	{"node of the cluster", one(&flowpb.FlowFilter{NodeName: []string{"ea*/"}}), nil, all},
	{"another node", one(&flowpb.FlowFilter{NodeName: []string{"east/host-b", "west/*"}}), nil, ""},
	{"node's label", one(&flowpb.FlowFilter{NodeLabels: []string{"zone in (a,b),kubernetes.io/os"}}), nil, all},
	{"another node's label", one(&flowpb.FlowFilter{NodeLabels: []string{"!zone"}}), nil, ""},
	{"interface", one(&flowpb.FlowFilter{Interface: []*flowpb.NetworkInterface{{Name: "slc12"}}}), nil, "back ping"},
	{"interface by number", one(&flowpb.FlowFilter{Interface: []*flowpb.NetworkInterface{{Index: 11}}}), nil, "out drop arp"},
	{"interface by both", one(&flowpb.FlowFilter{Interface: []*flowpb.NetworkInterface{{Index: 11, Name: "slc12"}}}), nil, ""},
	{"id", one(&flowpb.FlowFilter{Uuid: []string{converter4().UUID(flows["ping"])}}), nil, "ping"},

	{"layer 7", one(&flowpb.FlowFilter{HttpStatusCode: []string{"404", "5+"}, HttpMethod: []string{"GET"}, HttpPath: []string{"/a.*"},
		HttpUrl: []string{"."}, DnsQuery: []string{".*"}, HttpHeader: []*flowpb.HTTPHeader{{Key: "a"}}}), nil, ""},
	{"but not layer 7", nil, one(&flowpb.FlowFilter{HttpMethod: []string{"GET"}}), all},
	{"traces", one(&flowpb.FlowFilter{TraceId: []string{"x"}, IpTraceId: []uint64{1}}), nil, ""},

	{"expression", expressions4("_flow.verdict == Verdict.DROPPED && _flow.l4.UDP.destination_port == 53u"), nil, "drop"},
	{"one of two expressions", expressions4("_flow.source.pod_name == 'db'", "_flow.IP.source.startsWith('198')"), nil, "back ping verdict published"},
	{"an expression that fails", expressions4("_flow.source.labels[17] == 'x'"), nil, ""},
}

func TestMatch(t *testing.T) {
	for _, c := range matchCases {
		t.Run(c.name, func(t *testing.T) {
			match, err := Compile(c.allow, c.block, converter4())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, name := range strings.Fields(all) {
				if match(flows[name]) {
					got = append(got, name)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("matches %v, want %s", got, c.want)
			}
			if lost := (&observe.Flow{Source: &observe.Party{}, Destination: &observe.Party{}, Lost: &api.Lost{Count: 1}}); !match(lost) {
				t.Error("word of lost flows is held back")
			}
		})
	}
}

func expressions4(texts ...string) list {
	return one(&flowpb.FlowFilter{Experimental: &flowpb.FlowFilter_Experimental{CelExpression: texts}})
}

func TestRefuses(t *testing.T) {
	long := make([]string, maxValues+1)
	for name, c := range map[string]struct {
		filter *flowpb.FlowFilter
		want   string
	}{
		"address":            {&flowpb.FlowFilter{SourceIp: []string{"320.1.1.1"}}, "source_ip: \"320.1.1.1\" is neither"},
		"no address":         {&flowpb.FlowFilter{DestinationIp: []string{""}}, "neither"},
		"prefix":             {&flowpb.FlowFilter{SourceIpXlated: []string{"10.0.0.0/33"}}, "neither"},
		"port":               {&flowpb.FlowFilter{SourcePort: []string{"http"}}, "no port"},
		"range of ports":     {&flowpb.FlowFilter{DestinationPort: []string{"80-90"}}, "no port"},
		"great port":         {&flowpb.FlowFilter{DestinationPort: []string{"65536"}}, "no port"},
		"protocol":           {&flowpb.FlowFilter{Protocol: []string{"kafka"}}, "no protocol \"kafka\""},
		"pod":                {&flowpb.FlowFilter{SourcePod: []string{""}}, "name is empty"},
		"service":            {&flowpb.FlowFilter{DestinationService: []string{""}}, "name is empty"},
		"domain":             {&flowpb.FlowFilter{SourceFqdn: []string{" . "}}, "empty"},
		"domain's dots":      {&flowpb.FlowFilter{DestinationFqdn: []string{"a.."}}, "several dots"},
		"domain's letters":   {&flowpb.FlowFilter{DestinationFqdn: []string{"a|b"}}, "no name has"},
		"node":               {&flowpb.FlowFilter{NodeName: []string{""}}, "empty"},
		"node's slashes":     {&flowpb.FlowFilter{NodeName: []string{"a/b/c"}}, "several slashes"},
		"node's letters":     {&flowpb.FlowFilter{NodeName: []string{"a/b?"}}, "no name has"},
		"label":              {&flowpb.FlowFilter{SourceLabel: []string{""}}, "key is missing"},
		"label's operator":   {&flowpb.FlowFilter{DestinationLabel: []string{"a b"}}, "no operator"},
		"label's list":       {&flowpb.FlowFilter{DestinationLabel: []string{"a in (b"}}, "not closed"},
		"label without list": {&flowpb.FlowFilter{DestinationLabel: []string{"a in b"}}, "in parentheses"},
		"label's number":     {&flowpb.FlowFilter{DestinationLabel: []string{"a > b"}}, "number is expected"},
		"label's comma":      {&flowpb.FlowFilter{DestinationLabel: []string{"a=b c"}}, "comma is expected"},
		"label's source":     {&flowpb.FlowFilter{DestinationLabel: []string{"k8s:"}}, "has no key"},
		"two negations":      {&flowpb.FlowFilter{NodeLabels: []string{"!!a"}}, "key is missing"},
		"status":             {&flowpb.FlowFilter{HttpStatusCode: []string{"600"}}, "no status code"},
		"status of four":     {&flowpb.FlowFilter{HttpStatusCode: []string{"40+4"}}, "no status code"},
		"path":               {&flowpb.FlowFilter{HttpPath: []string{"("}}, "no regular expression"},
		"query":              {&flowpb.FlowFilter{DnsQuery: []string{"*"}}, "no regular expression"},
		"expression":         {expressions4("_flow.verdict ==")[0], "read expression"},
		"unknown field":      {expressions4("_flow.shoes == 1")[0], "shoes"},
		"no condition":       {expressions4("_flow.source.pod_name")[0], "true or false"},
		"long expression":    {expressions4(strings.Repeat("true && ", 600) + "true")[0], "longer than"},
		"too many values":    {&flowpb.FlowFilter{Uuid: long}, "at most 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, lists := range [][2]list{{one(c.filter), nil}, {nil, one(c.filter)}} {
				if _, err := Compile(lists[0], lists[1], converter4()); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
			}
		})
	}
	if _, err := Compile(make(list, maxFilters), make(list, 1), converter4()); err == nil {
		t.Error("a thousand and one filters are taken")
	}
}

// TestEveryFieldIsCompiled: no field of a filter is ignored.
func TestEveryFieldIsCompiled(t *testing.T) {
	fields4 := (&flowpb.FlowFilter{}).ProtoReflect().Descriptor().Fields()
	for i := range fields4.Len() {
		f := &flowpb.FlowFilter{}
		field := fields4.Get(i)
		set(f, field)
		used := 0
		for _, compile := range fields {
			name, p, err := compile(f, converter4())
			if p != nil || err != nil {
				if used++; name != string(field.Name()) {
					t.Errorf("%s is compiled as %s", field.Name(), name)
				}
			}
		}
		if used != 1 {
			t.Errorf("%s is compiled %d times", field.Name(), used)
		}
	}
}

// set gives a field one value.
func set(f *flowpb.FlowFilter, field protoreflect.FieldDescriptor) {
	m := f.ProtoReflect()
	if field.Name() == "experimental" {
		f.Experimental = expressions4("true")[0].GetExperimental()
		return
	}
	values := m.Mutable(field).List()
	switch {
	case field.Message() != nil:
		values.AppendMutable()
	case field.Kind() == protoreflect.StringKind:
		values.Append(protoreflect.ValueOfString("1"))
	default:
		values.Append(values.NewElement())
	}
}

// FuzzCompile checks that no filter, however made, breaks anything, and that one that is taken can be asked.
func FuzzCompile(f *testing.F) {
	for _, seed := range []*flowpb.FlowFilter{
		{SourcePod: []string{"a/b"}, SourceLabel: []string{"a in (b,c),!d"}}, {DestinationFqdn: []string{"*.a*b."}, NodeName: []string{"a/*"}},
		{SourceIp: []string{"::/0"}, TcpFlags: []*flowpb.TCPFlags{{SYN: true}}}, expressions4("_flow.source.labels.exists(l, l == 'a')")[0],
	} {
		text, err := proto.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		filter := &flowpb.FlowFilter{}
		if proto.Unmarshal(text, filter) != nil {
			return
		}
		allow, err := Compile(one(filter), nil, converter4())
		if err != nil {
			return
		}
		block, err := Compile(nil, one(filter), converter4())
		if err != nil {
			t.Fatalf("taken as one list, and not as the other: %v", err)
		}
		for name, f := range flows {
			if allow(f) == block(f) {
				t.Errorf("%s: %v both matches and does not", name, filter)
			}
		}
	})
}

// FuzzSelector checks that selectors are read without end or panic, and mean the same when a blank is added.
func FuzzSelector(f *testing.F) {
	for _, s := range []string{"a", "!a", "a=b,c!=d", "k8s:a in (b, c),d notin ()", "a > 1", "any:a==", "a=,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, errA := parseSelector(s)
		b, errB := parseSelector(" " + s + " ")
		if (errA == nil) != (errB == nil) || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%q is %v, %v; with blanks %v, %v", s, a, errA, b, errB)
		}
	})
}

// FuzzWildcard compares with another way to decide.
func FuzzWildcard(f *testing.F) {
	f.Add("*.example", "www.example")
	f.Add("a*b*c", "abbc")
	f.Add("**", "")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern)*len(s) > 1<<12 {
			return
		}
		if got, want := wildcard(pattern, s), slowly(pattern, s); got != want {
			t.Errorf("%q in %q: %v", pattern, s, got)
		}
	})
}

// slowly is wildcard by dynamic programming: which lengths of s the pattern's beginnings can be.
func slowly(pattern, s string) bool {
	can := make([]bool, len(s)+1)
	can[0] = true
	for i := range len(pattern) {
		next := make([]bool, len(s)+1)
		for j := range next {
			if pattern[i] == '*' {
				next[j] = can[j] || j > 0 && next[j-1]
			} else {
				next[j] = j > 0 && can[j-1] && s[j-1] == pattern[i]
			}
		}
		can = next
	}
	return can[len(s)]
}

// BenchmarkRing filters a whole ring: it is to take less than 200 ms.
func BenchmarkRing(b *testing.B) {
	const size = 65535
	for name, filter := range map[string]*flowpb.FlowFilter{
		"verdict": {Verdict: []flowpb.Verdict{flowpb.Verdict_DROPPED}}, "label": {SourceLabel: []string{"tier in (x, y)"}},
		"pod": {DestinationPod: []string{"shop/none"}}, "uuid": {Uuid: []string{"none"}}, "cel": expressions4("_flow.source.pod_name == 'none'")[0],
	} {
		b.Run(name, func(b *testing.B) {
			match, err := Compile(one(filter), nil, converter4())
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				for range size {
					match(flows["out"])
				}
			}
		})
	}
}
