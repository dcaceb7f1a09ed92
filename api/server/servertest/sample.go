package servertest

import (
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-net/sluice/api"
)

// Now is the time in the installation of Sample.
var Now = time.Date(2030, 1, 2, 15, 4, 5, 0, time.UTC)

// The ids of the installation.
var (
	Front   = strings.Repeat("f1", 32) // networks
	Back    = strings.Repeat("f2", 32)
	WebF    = "aa01" + strings.Repeat("0", 60) // endpoints: of web on front and back, of db on back
	WebB    = "aa02" + strings.Repeat("0", 60)
	DB      = "ab03" + strings.Repeat("0", 60)
	Waiting = "ac04" + strings.Repeat("0", 60) // of a container that Docker has not told yet
	WebID   = "c1" + strings.Repeat("1", 62)
	DBID    = "c2" + strings.Repeat("2", 62)
)

func addr(s string) netip.Addr         { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix     { return netip.MustParsePrefix(s) }
func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// Sample returns two networks with the containers web (on both) and db, and one container that is still unknown.
func Sample() *Fake {
	f := &Fake{Level: "info"}
	sampleInsight(f)
	f.StatusValue = sampleStatus()
	f.NetworkList = []api.Network{
		{ID: Front, Name: "front", Number: 1, Policy: "default", MTU: 1500, Masquerade: true, Endpoints: 2,
			Created: Now.Add(-90 * time.Minute), Options: map[string]string{"sluice.mtu": "1500"}, Subnets: []api.Subnet{
				{Prefix: prefix("172.30.0.0/24"), Gateway: addr("172.30.0.1"), Range: prefix("172.30.0.128/25")},
				{Prefix: prefix("fd00:30::/64"), Gateway: addr("fd00:30::1")}}},
		{ID: Back, Name: "back", Number: 2, Policy: "always", MTU: 9000, Internal: true, Isolate: true, Endpoints: 2,
			Created: Now.Add(-72 * time.Hour), Subnets: []api.Subnet{{Prefix: prefix("172.31.0.0/24")}}},
	}
	f.EndpointList = sampleEndpoints()
	f.IdentityList = []api.Identity{
		{ID: 1, Name: "host"},
		{ID: 2, Name: "world"},
		{ID: 257, Labels: f.EndpointList[0].Labels, Endpoints: []string{WebF, WebB}},
		{ID: 258, Labels: f.EndpointList[2].Labels, Endpoints: []string{DB}},
	}
	f.PolicyList = []api.Policy{
		{Name: "allow-web", Kind: "CiliumNetworkPolicy", Origin: api.OriginDocument, Unresolved: []string{"name:cron"}, Source: "allow-web.yaml", Rules: 2, Endpoints: []string{DB}, Revision: 7,
			Applied: Now.Add(-time.Hour), Text: "kind: CiliumNetworkPolicy\nmetadata:\n  name: allow-web\n"},
		{Name: "shop/deny-all", Kind: "CiliumNetworkPolicy", Origin: api.OriginDocument, Source: "-", Rules: 1, Endpoints: []string{WebF, WebB}, Revision: 9,
			Applied: Now.Add(-time.Minute), Text: "kind: CiliumNetworkPolicy\nmetadata:\n  name: deny-all\n  namespace: shop"},
	}
	f.PolicyList = append(f.PolicyList, api.Policy{Name: "labels:web@front", Kind: "Labels", Origin: api.OriginLabel, Source: "labels of web",
		Rules: 1, Endpoints: []string{WebF}, Applied: Now.Add(-time.Hour), Text: "labels:\n  sluice.egress: db:5432\n"})
	f.FileList = []api.PolicyFile{{Path: "/etc/sluice/policy.d/lan.yaml", State: api.PolicyFileBroken, Problems: []api.Problem{
		{Source: "/etc/sluice/policy.d/lan.yaml", Line: 9, Message: "spec.ingress[0].toPort: unknown field, did you mean toPorts?"}}}}
	f.PortList = []api.Port{
		{HostAddr: addr("0.0.0.0"), HostPort: 8080, Protocol: "tcp", Addr: addr("172.30.0.2"), Port: 80, Endpoint: WebF, Container: "web", Network: "front"},
		{HostAddr: addr("::"), HostPort: 8080, Protocol: "tcp", Addr: addr("fd00:30::2"), Port: 80, Endpoint: WebF, Container: "web", Network: "front"},
		{HostAddr: addr("127.0.0.1"), HostPort: 5300, Protocol: "udp", Addr: addr("172.31.0.3"), Port: 53, Endpoint: DB, Container: "db", Network: "back"},
	}
	f.Regenerations = []api.Regeneration{
		{Endpoint: WebF, Container: "web", Network: "front", Revision: 13, Took: 1523 * time.Microsecond},
		{Endpoint: DB, Container: "db", Network: "back", Revision: 13, Took: 1812 * time.Microsecond},
	}
	sampleTables(f)
	f.EventList = sampleEvents()
	f.TrafficList = sampleTraffic()
	f.CapturedList = sampleCaptured()
	return f
}

func sampleStatus() api.Status {
	return api.Status{
		Version: api.Version{Version: "0.1.0", Go: "go1.26", OS: "linux", Arch: "amd64"},
		State:   "ready", Host: "box", Kernel: "6.18.0", Doors: "tcx", PID: 4711, Started: Now.Add(-2 * time.Hour), Memory: 31 << 20,
		Revision: 12, Networks: 2, Endpoints: api.EndpointCounts{Total: 4, Ready: 3, Closed: 1}, Policies: 2, Ports: 3, Identities: 4,
		Checks: []api.Check{
			{Name: "docker", OK: true, Detail: "28.5.1"},
			{Name: "store", OK: true, Detail: "schema 1"},
		},
		Tables: []api.TableUse{
			{Name: "endpoints", Entries: 9, Max: 65536},
			{Name: "flows_tcp", Entries: -1, Max: 524288},
		},
		Events:      api.EventCounts{Seen: 100, Lost: 2, Subscribers: 1},
		Directories: map[string]string{"pins": "/sys/fs/bpf/sluice", "state": "/var/lib/sluice"},
	}
}

func sampleEndpoints() []api.Endpoint {
	web := map[string]string{"app": "web", "compose.project": "shop", "compose.service": "frontend"}
	back := api.Direction{Enforced: true, Policies: []string{"shop/deny-all"}, Entries: 3, Packets: 1200, Bytes: 1 << 21}
	return []api.Endpoint{
		{ID: WebF, State: api.StateReady, Slot: 1, NetworkID: Front, Network: "front", ContainerID: WebID, Container: "web",
			Image: "nginx:1", Project: "shop", Service: "frontend", Identity: 257, Labels: labels(web, map[string]string{"tier": "canary"}),
			Changed: api.LabelChange{Add: map[string]string{"tier": "canary"}},
			IPv4:    prefix("172.30.0.2/24"), IPv6: prefix("fd00:30::2/64"), MAC: "02:00:00:00:00:02", Interface: "slc1", Ifindex: 11, Revision: 12,
			Program: api.Program{Fingerprint: "9f86d081884c7d659a2feaa0c55ad015", Instructions: 2100, Loaded: Now.Add(-10 * time.Minute), LoadTime: 1523 * time.Microsecond},
			Egress:  back, Ingress: api.Direction{Packets: 800, Bytes: 64000},
			Publish: api.Publishing{Enforced: true, Rules: []string{"labels/sluice.publish.8080[0] @lan"}, Entries: 4},
			Mode:    "audit", Profile: "balanced", Observe: "packets", EgressRate: "20mbit/1mb", Options: map[string]string{"sluice.profile": "balanced"}},
		{ID: WebB, State: api.StateReady, Slot: 2, NetworkID: Back, Network: "back", ContainerID: WebID, Container: "web",
			Project: "shop", Service: "frontend", Identity: 257, Labels: web, IPv4: prefix("172.31.0.2/24"), MAC: "02:00:00:00:01:02",
			Interface: "slc2", Ifindex: 12, Revision: 12, Egress: back},
		{ID: DB, State: api.StateFailed, Slot: 3, NetworkID: Back, Network: "back", ContainerID: DBID, Container: "db", Identity: 258,
			Labels: map[string]string{"app": "db"}, IPv4: prefix("172.31.0.3/24"), MAC: "02:00:00:00:01:03", Interface: "slc3", Ifindex: 13,
			Revision: 11, LastError: "load programs: permission denied",
			Ingress: api.Direction{Enforced: true, Policies: []string{"allow-web"}, Entries: 5, Packets: 7, Bytes: 700}},
		{ID: Waiting, State: api.StateClosed, Slot: 4, NetworkID: Front, Network: "front", Identity: 5, Labels: map[string]string{},
			IPv4: prefix("172.30.0.4/24"), MAC: "02:00:00:00:00:04", Interface: "slc4", Ifindex: 14, Revision: 1},
	}
}

func sampleTables(f *Fake) {
	f.FlowList = []api.Connection{
		{Protocol: "tcp", Source: addrPort("172.31.0.2:40212"), Destination: addrPort("172.31.0.3:5432"), State: "established",
			Idle: 3 * time.Second, EgressRevision: 12, EgressPeer: 258, IngressRevision: 11, IngressPeer: 257},
		{Protocol: "tcp", Source: addrPort("192.0.2.9:51000"), Destination: addrPort("172.30.0.2:80"), State: "established",
			Frontend: addrPort("198.51.100.1:8080"), IngressRevision: 12, IngressPeer: 2},
		{Protocol: "icmpv6", Source: addrPort("[fd00:30::2]:0"), Destination: addrPort("[2001:db8::1]:0"), State: "replied",
			Masquerade: addrPort("[2001:db8::2]:0"), EgressRevision: 12, EgressPeer: 2},
	}
	f.AddressList = []api.AddressEntry{
		{Addr: addr("172.30.0.1"), Host: true, Identity: 1},
		{Addr: addr("172.30.0.2"), Ifindex: 11, MAC: "02:00:00:00:00:02", Identity: 257, Network: 1, Slot: 1, Endpoint: "web"},
		{Addr: addr("fd00:30::2"), Ifindex: 11, MAC: "02:00:00:00:00:02", Identity: 257, Network: 1, Slot: 1, Endpoint: "web"},
	}
	f.EntryList = []api.PolicyEntry{
		{Endpoint: DB, Container: "db", Direction: "ingress", Revision: 11, Peer: "app=web", Identity: 257, Protocol: "tcp", From: 5432, To: 5440,
			Verdict: "allow", Rule: "allow-web/ingress[0]"},
		{Endpoint: DB, Container: "db", Direction: "ingress", Revision: 11, Peer: "world", Protocol: "icmp", From: 8 << 8, To: 8<<8 | 0xff, Verdict: "allow",
			Rule: "allow-web/ingress[1]"},
		{Endpoint: DB, Container: "db", Direction: "ingress", Revision: 11, Peer: "network", Protocol: "any", From: 0, To: 65535, Verdict: "deny"},
		{Endpoint: WebF, Container: "web", Direction: "egress", Revision: 12, Peer: "10.0.0.0-10.0.0.255", Protocol: "udp", From: 53, To: 53, Verdict: "allow",
			Rule: "shop/deny-all/egress[0]"},
	}
	f.MetricList = []api.Metric{
		{Direction: "egress", Packets: 1000, Bytes: 100000},
		{Direction: "ingress", Reason: "policy denied", Packets: 3, Bytes: 180},
	}
}

func sampleEvents() []api.Event {
	web := api.Party{Addr: addr("172.31.0.2"), Port: 40212, Endpoint: WebB, ContainerID: WebID, Container: "web", Project: "shop", Service: "frontend", Network: "back", Identity: 257}
	db := api.Party{Addr: addr("172.31.0.3"), Port: 5432, Endpoint: DB, ContainerID: DBID, Container: "db", Network: "back", Identity: 258}
	return []api.Event{
		{Type: api.EventVerdict, Time: Now, Verdict: api.VerdictDenied, Point: "ingress", Endpoint: bare(db), Source: web, Destination: db,
			Protocol: "tcp", TCPFlags: "SYN", Length: 60, Reason: "policy denied", Policy: "allow-web", Rule: "ingress[0]", Direction: api.Ingress, Revision: 11},
		{Type: api.EventDrop, Time: Now.Add(time.Second), Verdict: api.VerdictDropped, Point: "egress", Endpoint: bare(web), Source: portless(web),
			Destination: api.Party{Addr: addr("2001:db8::1"), Identity: 2, Entity: "world"}, Protocol: "icmpv6", ICMPType: 128,
			Reason: "no route", Revision: 12},
		{Type: api.EventLost, Time: Now.Add(2 * time.Second), Lost: &api.Lost{Where: api.LostKernel, Count: 12}},
		{Type: api.EventTrace, Time: Now.Add(3 * time.Second), Verdict: api.VerdictForwarded, Point: "ingress", Endpoint: bare(web), Source: db,
			Destination: web, Protocol: "tcp", TCPFlags: "ACK", Reply: true, Length: 1500},
	}
}

// portless returns the end of a packet without ports.
func portless(p api.Party) api.Party {
	p.Port = 0
	return p
}

// bare returns a party without what belongs to a packet.
func bare(p api.Party) api.Party {
	p.Addr, p.Port = netip.Addr{}, 0
	return p
}
