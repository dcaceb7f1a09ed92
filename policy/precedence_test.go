package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// TestPrecedence is the truth table of docs/policy.md: for every combination of what an administrator and a label say of
// a connection, the verdict and the rule that it names.
func TestPrecedence(t *testing.T) {
	for bits := range 1 << 6 {
		has := func(n int) bool { return bits>>n&1 == 1 }
		adminDeny, labelDeny, labelAllow, adminAllow, closed, direction := has(0), has(1), has(2), has(3), has(4), Direction(bits>>5&1)
		d := direction.String()
		var spec strings.Builder
		fmt.Fprintf(&spec, "endpointSelector: {matchLabels: {app: db}}\nenableDefaultDeny: {%s: %v}\n", d, closed)
		from := map[Direction]string{Egress: "toCIDR", Ingress: "fromCIDR"}[direction]
		if adminDeny {
			fmt.Fprintf(&spec, "%sDeny: [{%s: [192.0.2.0/24]}]\n", d, from)
		}
		if adminAllow {
			fmt.Fprintf(&spec, "%s: [{%s: [192.0.2.0/24]}]\n", d, from)
		}
		if !adminDeny && !adminAllow {
			fmt.Fprintf(&spec, "%s: [{}]\n", d)
		}
		labels := ""
		if labelDeny {
			labels += "sluice." + d + ".deny=192.0.2.7; "
		}
		if labelAllow {
			labels += "sluice." + d + "=192.0.2.7:80"
		}
		want, rule := Allow, ""
		switch {
		case adminDeny:
			want, rule = Deny, "admin: "+d+"Deny[0]"
		case labelDeny:
			want, rule = Deny, "labels: sluice."+d+".deny[0] 192.0.2.7"
		case labelAllow:
			want, rule = Allow, "labels: sluice."+d+"[0] 192.0.2.7:80"
		case adminAllow:
			want, rule = Allow, "admin: "+d+"[0]"
		case closed:
			want, rule = Deny, "admin: default deny"
		}
		w := labelWorld(t, labels, document("admin", spec.String()))
		if got, by := w.judge(t, ask{direction, "192.0.2.7", "tcp 80"}); got != want || by != rule {
			t.Errorf("%s: admin deny %v, label deny %v, label allow %v, admin allow %v, closed %v: got %s by %q, want %s by %q",
				d, adminDeny, labelDeny, labelAllow, adminAllow, closed, got, by, want, rule)
		}
		// What a label's list does not have is closed by it, unless an administrator allows it.
		want = Allow
		if adminDeny || labelDeny || !adminAllow && (labelAllow || closed) {
			want = Deny
		}
		if got, by := w.judge(t, ask{direction, "192.0.2.7", "tcp 81"}); got != want {
			t.Errorf("%06b: the port beside: got %s by %q, want %s", bits, got, by, want)
		}
	}
}

// TestDeniesFirst: the rules that a label's mode does not suspend are an administrator's denies, and they alone.
func TestDeniesFirst(t *testing.T) {
	w := labelWorld(t, "sluice.ingress=web:80, @lan:53/udp; sluice.ingress.deny=192.0.2.7; sluice.mode=audit",
		document("admin", "endpointSelector: {}\ningress: [{fromCIDR: [198.51.100.0/24]}]\ningressDeny: [{fromCIDR: [203.0.113.0/24]}]"),
		document("more", "endpointSelector: {}\ningressDeny: [{fromEndpoints: [{matchLabels: {app: job}}]}]"),
		document("unused", "endpointSelector: {matchLabels: {app: nobody}}\ningressDeny: [{fromEntities: [all]}]"))
	tables, err := Resolve(w.set, w.subject, w.universe)
	if err != nil {
		t.Fatal(err)
	}
	var denies []string
	for n, r := range tables.Ingress.Rules {
		if n < int(tables.Ingress.Denies) {
			denies = append(denies, r.String())
		}
	}
	if want := []string{"admin: ingressDeny[0]", "more: ingressDeny[0]"}; !slices.Equal(denies, want) {
		t.Errorf("denies %q, want %q of %q", denies, want, tables.Ingress.Rules)
	}
	if tables.Egress != nil && tables.Egress.Denies != 0 {
		t.Errorf("egress has %d denies", tables.Egress.Denies)
	}
}

// TestPrecedenceOfProfiles: a label's profile counts before the administrator's, lists before profiles.
func TestPrecedenceOfProfiles(t *testing.T) {
	short := func(fields string) string { return "policies:\n- {name: admin, for: \"@any\", " + fields + "}\n" }
	for _, tt := range []struct {
		labels, admin string
		world         Verdict // egress to the internet
		rule          string
	}{
		{"", "profile: locked", Deny, "admin: sluice.profile=locked"},
		{"", "profile: balanced", Allow, "admin: sluice.profile=balanced"},
		{"sluice.profile=open", "profile: locked", Allow, ""},
		{"sluice.profile=locked", "profile: open", Deny, "labels: sluice.profile=locked"},
		{"sluice.profile=balanced", "profile: locked", Allow, "labels: sluice.profile=balanced"},
		{"sluice.egress=web", "profile: balanced", Deny, "labels: sluice.egress: default deny"},
		{"sluice.profile=open", `egress: "@lan"`, Deny, "admin: default deny"},
		{"sluice.profile=balanced", `egress: "@lan"`, Deny, "admin: default deny"},
		{"sluice.profile=locked", `egress: "@internet", default-deny: {egress: false}`, Allow, "admin: egress[0] @internet"},
	} {
		w := labelWorld(t, tt.labels, short(tt.admin))
		if got, rule := w.judge(t, ask{Egress, "1.1.1.1", "tcp 443"}); got != tt.world || rule != tt.rule {
			t.Errorf("labels %q, admin %q: got %s by %q, want %s by %q", tt.labels, tt.admin, got, rule, tt.world, tt.rule)
		}
	}
}

// TestPublished: who reaches a published port, by what labels, policies, profile and the daemon's setting say.
func TestPublished(t *testing.T) {
	lan, far, web, other := "192.168.1.9", "1.1.1.1", "web", "other"
	for _, tt := range []struct {
		labels  string
		setting PublishDefault
		peer    string
		port    uint16 // of the host; the container's is 80
		want    Verdict
		rule    string
	}{
		{"", PublishAny, far, 8080, Allow, ""},
		{"", PublishLAN, far, 8080, Deny, "daemon setting publish-default=lan"},
		{"", PublishLAN, lan, 8080, Allow, ""},
		{"", PublishLAN, web, 8080, Allow, ""},
		{"", PublishLAN, other, 8080, Deny, ""}, // containers of other networks need a rule of ingress
		{"", PublishNone, lan, 8080, Deny, "daemon setting publish-default=none"},
		{"sluice.publish.8080=@lan, 1.1.1.1", PublishNone, far, 8080, Allow, "labels: sluice.publish.8080[1] 1.1.1.1"},
		{"sluice.publish.8080=@lan", PublishAny, far, 8080, Deny, "labels: publish.8080: default deny"},
		{"sluice.publish.8080=@lan", PublishAny, lan, 8080, Allow, "labels: sluice.publish.8080[0] @lan"},
		{"sluice.publish.8080=@lan", PublishAny, far, 8081, Allow, ""},
		{"sluice.publish.8080/udp=@lan", PublishAny, far, 8080, Allow, ""},
		{"sluice.publish=@any; sluice.publish.8080=@lan", PublishNone, far, 8080, Deny, "labels: publish.8080: default deny"},
		{"sluice.publish=@any; sluice.publish.8080=@lan", PublishNone, far, 8081, Allow, "labels: sluice.publish[0] @any"},
		{"sluice.ingress=web:80", PublishAny, far, 8080, Deny, "labels: sluice.ingress: default deny"},
		{"sluice.ingress=web:80; sluice.publish.8080=@any", PublishAny, far, 8080, Allow, "labels: sluice.publish.8080[0] @any"},
		{"sluice.ingress.deny=1.1.1.1; sluice.publish.8080=@any", PublishAny, far, 8080, Deny, "labels: sluice.ingress.deny[0] 1.1.1.1"},
		{"sluice.publish=@none", PublishAny, web, 8080, Deny, "labels: publish: default deny"},
		{"sluice.profile=balanced", PublishAny, far, 8080, Allow, "labels: sluice.profile=balanced"},
		{"sluice.profile=balanced", PublishLAN, far, 8080, Deny, "daemon setting publish-default=lan"},
		{"sluice.profile=balanced", PublishLAN, lan, 8080, Allow, "labels: sluice.profile=balanced"},
		{"sluice.profile=locked", PublishAny, lan, 8080, Deny, "labels: sluice.profile=locked"},
		{"sluice.profile=locked; sluice.publish.8080=@lan", PublishAny, lan, 8080, Allow, "labels: sluice.publish.8080[0] @lan"},
	} {
		rule := strings.ReplaceAll(tt.rule, "labels: publish", "labels: sluice.publish")
		w := labelWorld(t, tt.labels)
		w.subject.PublishDefault = tt.setting
		tables, err := Resolve(w.set, w.subject, w.universe)
		if err != nil {
			t.Fatal(err)
		}
		id, class, a := peerOf(tt.peer)
		got, n, table := tables.JudgePublished(id, class, a, Key(ProtocolTCP, 80), Key(ProtocolTCP, tt.port))
		if ref, _ := table.Rule(n); got != tt.want || ref.String() != rule {
			t.Errorf("%q, %s: %s on %d: got %s by %q, want %s by %q", tt.labels, tt.setting, tt.peer, tt.port, got, ref, tt.want, rule)
		}
		said := Explain(w.set, w.subject, w.universe, Question{Direction: Ingress, Peer: id, Addr: a, Protocol: ProtocolTCP, Port: 80, Published: tt.port})
		if said.Verdict != tt.want || said.Rule.String() != rule || said.Why == "" {
			t.Errorf("%q, %s: %s on %d: explained as %s by %q: %s", tt.labels, tt.setting, tt.peer, tt.port, said.Verdict, said.Rule, said.Why)
		}
	}
}

func TestLAN(t *testing.T) {
	u := NewUniverse().WithLAN(prefixes("198.51.100.0/24", "2001:db8:7::/48", "0.0.0.0/0", "::/0"))
	for a, want := range map[string]bool{
		"10.9.9.9": true, "172.16.0.1": true, "172.32.0.1": false, "192.168.0.1": true, "198.51.100.7": true, "198.51.101.7": false, "169.254.169.254": true,
		"100.64.0.1": true, "224.0.0.1": true, "255.255.255.255": true, "240.0.0.1": false, "1.1.1.1": false, "0.0.0.0": false,
		"2001:db8:7::1": true, "2001:db8:8::1": false, "fd00::1": true, "fe80::1": true, "ff02::1": true, "2a00::1": false, "::": false,
	} {
		if got := u.onLAN(addr(a)); got != want {
			t.Errorf("%s: on the LAN %v", a, got)
		}
	}
	l := u.LAN()
	for i := 1; i < len(l); i++ {
		if !l[i-1][1].Less(l[i][0]) && l[i-1][0].Is4() == l[i][0].Is4() {
			t.Errorf("%v overlaps %v", l[i-1], l[i])
		}
	}
	if NewUniverse().onLAN(addr("198.51.100.7")) {
		t.Error("WithLAN changed another universe")
	}
}

// TestDenyInternetAndLANIsEverything: the two are the world, whatever the routes.
func TestDenyInternetAndLANIsEverything(t *testing.T) {
	for _, lan := range [][]netip.Prefix{nil, prefixes("0.0.0.0/1"), prefixes("128.0.0.0/1", "8000::/1"), prefixes("1.1.1.1/32")} {
		w := labelWorld(t, "sluice.egress.deny=@internet, @lan")
		w.universe = w.universe.WithLAN(lan)
		for _, a := range someAddresses {
			if got, _ := w.judge(t, ask{Egress, a, "tcp 80"}); got != Deny {
				t.Errorf("%v: %s is allowed", lan, a)
			}
		}
	}
}
