package words

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

var (
	web = &observe.Party{Container: "shop-web-1", Project: "shop", Service: "web", Network: "shop_default", Identity: 300, Image: "nginx:1.27",
		Labels: map[string]string{"app": "web", "tier": "front"}}
	db    = &observe.Party{Container: "shop-db-1", Project: "shop", Service: "db", Network: "shop_default", Identity: 301}
	lone  = &observe.Party{Container: "lone", Network: "net", Identity: 302}
	world = &observe.Party{Entity: api.EntityWorld, Identity: 2}
)

func flow(kind uint8, from, to *observe.Party, src, dst string, proto uint8, port uint16, change func(*observe.Flow)) *observe.Flow {
	f := &observe.Flow{Seq: 1, Source: from, Destination: to, Kernel: abi.Event{
		Type: kind, Family: 4, Proto: proto, Src: abi.FromAddr(netip.MustParseAddr(src)), Dst: abi.FromAddr(netip.MustParseAddr(dst)),
		Sport: abi.ToBE16(40000), Dport: abi.ToBE16(port),
	}}
	if change != nil {
		change(f)
	}
	return f
}

// flows are what the filters below are tried on, by one letter each.
var flows = map[string]*observe.Flow{
	"a": flow(abi.EventTrace, web, db, "10.0.0.2", "10.0.0.3", 6, 5432, nil),
	"b": flow(abi.EventTrace, web, db, "10.0.0.3", "10.0.0.2", 6, 40000, func(f *observe.Flow) {
		f.Source, f.Destination, f.Kernel.Reply, f.Kernel.Sport = db, web, 1, abi.ToBE16(5432)
	}),
	"c": flow(abi.EventDrop, lone, db, "10.0.0.9", "10.0.0.3", 6, 5432, func(f *observe.Flow) {
		f.Kernel.Reason, f.Rule = uint16(abi.DropPolicyDenied), &observe.Rule{Policy: "shop/db", Place: "default deny"}
	}),
	"d": flow(abi.EventVerdict, lone, db, "10.0.0.9", "10.0.0.3", 6, 5432, func(f *observe.Flow) {
		f.Kernel.Reason, f.Rule = uint16(abi.DropPolicyDenied), &observe.Rule{Policy: "shop/db", Place: "default deny"}
	}),
	"e": flow(abi.EventTrace, web, world, "10.0.0.2", "198.51.100.1", 17, 53, func(f *observe.Flow) {
		f.DestinationNames = []string{"dns.example.org"}
	}),
	"f": flow(abi.EventAudit, world, web, "2001:db8::7", "fd00::2", 58, 0, func(f *observe.Flow) {
		f.Kernel.Family, f.Kernel.Reason = 6, uint16(abi.DropPolicyDenied)
	}),
	"g": flow(abi.EventDrop, web, lone, "10.0.0.2", "10.0.0.9", 6, 80, func(f *observe.Flow) { f.Kernel.Reason = uint16(abi.DropOtherNetwork) + 40 }),
}

func TestFilters(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "abcefg"}, // what policies said is told by what became of it
		{"type:policy-verdict", "df"},
		{"type:trace,drop,policy-verdict", "abcdefg"},
		{"verdict:dropped", "cg"},
		{"verdict:DROPPED", "cg"},
		{"verdict:denied", "c"},
		{"verdict:forwarded", "abe"},
		{"verdict:audit", "f"},
		{"!verdict:dropped", "abef"},
		{"verdict:audit,dropped", "cfg"},
		{"pod:shop-web-1", "abefg"},
		{"container:shop/shop-web-1", "abefg"},
		{"from-pod:shop-web-1", "aeg"},
		{"to-container:shop-web-1", "bf"},
		{"pod:shop-*", "abcefg"},
		{"pod:*-db-*", "abc"},
		{"from:web to:db", "a"},
		{"from:shop/web", "aeg"},
		{"to:10.0.0.0/24", "abcg"},
		{"from:10.0.0.9", "c"},
		{"to:world", "e"},
		{"from:@world", "f"},
		{"to:*.example.org", "e"},
		{"dns:dns.example.org", "e"},
		{"namespace:shop", "abcefg"},
		{"project:default", "cg"},
		{"service:db", "abc"},
		{"from-service:db", "b"},
		{"ip:198.51.100.1", "e"},
		{"ip:2001:db8::/32", "f"},
		{"from-ip:fd00::/8", ""},
		{"port:5432", "abc"},
		{"to-port:5432", "ac"},
		{"port:53,80", "eg"},
		{"protocol:udp", "e"},
		{"proto:icmp", "f"},
		{"protocol:tcp,udp", "abceg"},
		{"label:app=web", "abefg"},
		{"from-label:tier", "aeg"},
		{"label:app=w*", "abefg"},
		{"label:app=db", ""},
		{"identity:301", "abc"},
		{"identity:world", "ef"},
		{"reply:true", "b"},
		{"reply:false port:5432", "ac"},
		{"network:net", "cg"},
		{"policy:shop/db", "c"},
		{"policy:shop/*", "c"},
		{`reason:"policy denied"`, "cf"},
		{"reason:policy_denied", "cf"},
		{"lone", "cg"},
		{"EXAMPLE", "e"},
		{"nginx", "abefg"},
		{"!nginx", "c"},
		{"198.51.100.1", "e"},
		{"2001:db8::7", "f"}, // no key is called 2001
		{"seq:1 udp", "e"},
		{`"default deny"`, "c"},
		{"nothing-like-it", ""},
	} {
		f, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		var got strings.Builder
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
			if f.Match(flows[name]) {
				got.WriteString(name)
			}
		}
		if got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.text, got.String(), c.want)
		}
	}
	if f, _ := Parse("nothing-like-it"); !f.Match(&observe.Flow{Lost: &api.Lost{}}) {
		t.Error("lost flows are filtered")
	}
}

func TestRefusals(t *testing.T) {
	for text, says := range map[string]string{
		"verdict:maybe":           "allowed, audit, denied, dropped, forwarded",
		"type:x":                  "trace",
		"ip:web":                  "an address or a prefix",
		"port:http":               "use a number",
		"port:70000":              "use a number",
		"reply:perhaps":           "true or false",
		"verdict:":                "no value",
		"port:,":                  "no value",
		strings.Repeat("a ", 33):  "more than 32 words",
		strings.Repeat("a", 1025): "longer than",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.20s: %v, want %q", text, err, says)
		}
	}
}

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		text, want string
		left       []string
	}{
		{"", "hubble observe --follow", nil},
		{"verdict:dropped port:80,443", "hubble observe --follow --verdict DROPPED --port 80 --port 443", nil},
		{"from:web to:10.0.0.0/8", "hubble observe --follow --from-pod /web --to-ip 10.0.0.0/8", nil},
		{"from-pod:shop/web !namespace:blog", "hubble observe --follow --from-pod shop/web --not --namespace blog", nil},
		{"reply:true", "hubble observe --follow --reply", nil},
		{`reason:"policy denied"`, "hubble observe --follow --drop-reason-desc POLICY_DENIED", nil},
		{"dns:*.example.org", "hubble observe --follow --fqdn '*.example.org'", nil},
		{"web policy:shop/* !port:1,2 to:@world", "hubble observe --follow", []string{"web", "policy:shop/*", "!port:1,2", "to:@world"}},
		{"label:a=it's", `hubble observe --follow --label 'a=it'\''s'`, nil},
	} {
		f, err := Parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		got, left := f.Command("hubble")
		if got != c.want || !cmp.Equal(left, c.left) {
			t.Errorf("%s:\n got %s, left %q\nwant %s, left %q", c.text, got, left, c.want, c.left)
		}
	}
}

func TestKeysAreUnderstood(t *testing.T) {
	for _, k := range Keys() {
		if _, _, known := parseKey(k); !known {
			t.Errorf("key %s is offered and not understood", k)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "verdict:dropped", `reason:"policy denied" !web`, "ip:2001:db8::/32", "from:*a*b* to:@world", "label:a=*", "port:1,2", `"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text)
		if err != nil {
			return
		}
		for _, flow := range flows {
			parsed.Match(flow)
		}
		command, _ := parsed.Command("sluice")
		if strings.Count(strings.ReplaceAll(command, `'\''`, ""), "'")%2 != 0 {
			t.Errorf("%q: quotation marks of %s do not match", text, command)
		}
	})
}
