package policy

import (
	"fmt"
	"strings"
	"testing"
)

// describeTerm writes what was read, in full.
func describeTerm(t *term) string {
	s := t.peer.String()
	if t.peer.SameProject {
		s = "own " + s
	}
	if t.anyPort {
		return s + " everything"
	}
	for _, p := range t.ports {
		s += " " + p.String()
	}
	return s
}

func TestGrammar(t *testing.T) {
	for in, want := range map[string]string{
		"db":                     "own db everything",
		"db:5432":                "own db TCP 5432",
		"db:5432/udp":            "own db UDP 5432",
		"shop/db:5432/SCTP":      "shop/db SCTP 5432",
		"db:8000-8099":           "own db TCP 8000-8099",
		"db:{80,443}":            "own db TCP 80 TCP 443",
		"db:{80, 8000-8099}/udp": "own db UDP 80 UDP 8000-8099",
		"db:http":                "own db ANY http",
		"db:HTTP/tcp":            "own db TCP http",
		"db:{http,443}":          "own db ANY http TCP 443",
		"db:*":                   "own db TCP",
		"db:*/udp":               "own db UDP",
		"db:*/any":               "own db everything",
		"db:53/any":              "own db ANY 53",
		"db:udp":                 "own db UDP",
		"db:any":                 "own db everything",
		"@any:icmp":              "@any ICMP",
		"@any:8/icmp":            "@any ICMP type 8",
		"@any:EchoRequest/icmp, @any:echorequest/icmpv6": "@any ICMP type 8; @any ICMPv6 type 128",
		"@lan:*/gre": "@lan GRE",
		"@net, @host ,@lan,@internet,@cluster,@any,@none": "@net everything; @host everything; @lan everything; @internet everything; @cluster everything; @any everything; @none everything",
		"name:cache:6379":                     "name:cache TCP 6379",
		"name:a.b_c-1":                        "name:a.b_c-1 everything",
		"net:back":                            "net:back everything",
		"label:app=web:80":                    "label:app=web TCP 80",
		"label:app = web : 80":                "label:app=web TCP 80",
		"label:app==web":                      "label:app=web everything",
		"label:app!=web":                      "label:app!=web everything",
		"label:app in (web, api):{80,443}":    "label:app in (api, web) TCP 80 TCP 443",
		"label:app notin (web)":               "label:app!=web everything",
		"label:app":                           "label:app everything",
		"label:!app":                          "label:!app everything",
		"label:*":                             "label:* everything",
		"label:app=web&tier!=x&env":           "label:app=web&env&tier!=x everything",
		`label:"a:b"="c,d &"`:                 `label:"a:b"="c,d &" everything`,
		"label:app=":                          `label:app="" everything`,
		"label:com.docker.compose.service=db": "label:compose.service=db everything",
		"label:k8s=x":                         "label:k8s=x everything",
		"192.0.2.7":                           "192.0.2.7 everything",
		"192.0.2.7:443":                       "192.0.2.7 TCP 443",
		"10.0.0.0/8:443/udp":                  "10.0.0.0/8 UDP 443",
		"10.1.2.3/8":                          "10.0.0.0/8 everything",
		"2001:db8::/32":                       "2001:db8::/32 everything",
		"::/0":                                "::/0 everything",
		"[2001:db8::1]:443":                   "2001:db8::1 TCP 443",
		"[2001:db8::/32]:{53,853}/udp":        "2001:db8::/32 UDP 53 UDP 853",
		"[2001:db8::1]":                       "2001:db8::1 everything",
		"example.com:443":                     "example.com TCP 443",
		"*.Example.com.":                      "*.example.com everything",
		"**.example.com:443":                  "**.example.com TCP 443",
		"  db:80  ,\tweb ":                    "own db TCP 80; own web everything",
	} {
		terms, faults := parseItems(in)
		var got []string
		for i := range terms {
			got = append(got, describeTerm(&terms[i]))
		}
		if len(faults) > 0 || strings.Join(got, "; ") != want {
			t.Errorf("%s:\n got %s\nwant %s", in, strings.Join(got, "; "), want)
			for _, f := range faults {
				t.Errorf("  column %d: %s", f.column(in), f.reason)
			}
		}
	}
}

// TestGrammarFaults: every message says where, and what to write instead.
func TestGrammarFaults(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "1: the list is empty: write @none for nobody",
		" ":                  "1: the list is empty",
		"db,":                "4: an item is missing here: remove the comma",
		"db,,web":            "4: an item is missing here",
		"db:543x":            "4: \"543x\" is neither a port from 1 to 65535",
		"db:70000":           "4: \"70000\" is not a port from 1 to 65535",
		"db:0":               "4: there is no port 0: write * for every port",
		"db:90-80":           "4: the range 90-80 ends before it starts: write 80-90",
		"db:80-":             "4: \"80-\" is not a port",
		"db:":                "4: the port is missing",
		"db:{80,}":           "8: the port is missing",
		"db:{80,443":         "4: '{' is not closed",
		"db:80}":             "6: '}' closes nothing",
		"db:{80}x":           "4: \"{80}x\": after the braces",
		"db:80/tpc":          "7: unknown protocol \"tpc\", did you mean tcp?",
		"db:80/gre":          "4: GRE has no ports: write */gre",
		"db:900/icmp":        "4: \"900\" is no ICMP type of IPv4",
		"db:EchoReqest/icmp": "did you mean EchoRequest?",
		"db:80;web:81":       "nor the name of a port: separate items by commas",
		"db:80|81":           "several ports stand in braces, {80,443}",
		":80":                "1: the peer is missing before \":80\": write @any:80 for everybody",
		"8080":               "1: \"8080\" is a port without a peer: write @any:8080",
		"53/udp":             "1: \"53/udp\" is a port without a peer: write @any:53/udp",
		"web, @intrenet":     "6: unknown group \"@intrenet\", did you mean @internet?",
		"@":                  "1: unknown group \"@\"",
		"internet":           "1: \"internet\" would be a service of that name: write @internet for the group, or PROJECT/internet",
		"name":               "1: name: what? write name:NAME",
		"name:":              "6: \"\" is not the name of a container",
		"name:a b":           "separate items by commas",
		"web api":            "1: \"web api\" is not a peer: separate items by commas",
		"web#":               "1: \"web#\" is not a peer: write a service,",
		"app=web":            "1: \"app=web\" is not a peer: write label:app=web",
		"label:":             "7: a label's key is missing",
		"label:app=web tier": "15: \"tier\" is not expected here",
		"label:app in web":   "14: values stand in parentheses: in (a, b)",
		"label:app in (a b)": "17: a comma or a closing parenthesis is missing",
		"label:maintainer=x": "7: policy does not see the label \"maintainer\"",
		`label:app="x`:       "11: the quote is not closed",
		"*":                  "1: write @any for everybody",
		"*example.com":       "1: \"*example.com\": the wildcard stands alone before the first dot",
		"a.*.com":            "the wildcard stands alone",
		"exa mple.com":       "is not a domain such as example.com: separate items by commas",
		"300.1.2.3":          "1: \"300.1.2.3\" is neither an IPv4 address nor a prefix",
		"10.0.0.0/33":        "1: \"10.0.0.0/33\" is neither an IPv4",
		"[2001:db8::1]443":   "14: after the address in brackets come a colon and ports",
		"2001:db8::x":        "1: \"2001:db8::x\" has several colons",
		"[fe80::1%eth0]":     "is neither an IPv6 address nor a prefix",
		"::ffff:10.0.0.1":    "write IPv4 addresses in the IPv4 form",
		"a/b/c":              "1: \"a/b/c\" is neither PROJECT/SERVICE nor a prefix",
		"ü:80, x:0":          "9: there is no port 0", // characters, not bytes
	} {
		_, faults := parseItems(in)
		var got []string
		for _, f := range faults {
			got = append(got, fmt.Sprintf("%d: %s", f.column(in), f.reason))
		}
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestParseRate(t *testing.T) {
	for in, want := range map[string]Rate{
		"20mbit": {BitsPerSecond: 20e6}, "100mbit/1mb": {100e6, 1e6}, "1.5gbit": {BitsPerSecond: 15e8}, "8kbit": {BitsPerSecond: 8000},
		" 9600 bit ": {BitsPerSecond: 9600}, "10Mbit/64KiB": {10e6, 64 << 10}, "1tbit/10000b": {1e12, 10000},
	} {
		got, err := ParseRate(in)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v", in, got, err)
		}
		if again, err := ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q: written as %q, read back as %+v, %v", in, got, again, err)
		}
	}
	for in, want := range map[string]string{
		"": "does not start with a number", "mbit": "does not start with a number", "20": "unknown unit \"\"", "20mbps": "unknown unit \"mbps\" of bits per second",
		"1kbit": "is not from 8kbit", "2tbit": "is not from 8kbit", "20mbit/": "does not start", "20mbit/1mbit": "unknown unit \"mbit\" of bytes",
		"20mbit/10b": "the burst \"10b\" is not from", "1.2.3mbit": "does not start with a number", "-1mbit": "does not start", "99999999999999999999gbit": "is not from",
	} {
		if r, err := ParseRate(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v; want %s", in, r, err, want)
		}
	}
	if (Rate{}).String() != "" {
		t.Error("no rate is not empty")
	}
}

// FuzzGrammar: whatever is written, reading ends, faults lie within the value, and what is read can be written and read
// again as the same.
func FuzzGrammar(f *testing.F) {
	for _, seed := range []string{"db:5432", "@lan:{53,80-90}/udp, shop/db", "label:a in (b, \"c\")&!d:80", "[2001:db8::/32]:443", "**.a.b", "10.0.0.0/8:*/icmp", "{", "name:x:http"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		terms, faults := parseItems(value)
		for _, f := range faults {
			if f.at < 0 || f.at > len(value) || f.reason == "" {
				t.Errorf("%q: fault at %d: %q", value, f.at, f.reason)
			}
		}
		for i := range terms {
			if terms[i].peer.Domain != "" {
				continue
			}
			c := terms[i].clause(Egress, false, "x", 0)
			r := Rule{Close: [directions]bool{true, true}, Clauses: []Clause{c}}
			texts, err := formatClauses(&r, Egress, false)
			if err != nil {
				t.Fatalf("%q: %v", terms[i].text, err)
			}
			again, faults := parseItems(strings.Join(texts, ", "))
			if len(faults) > 0 {
				t.Fatalf("%q: written as %q, which is not read: %s", terms[i].text, texts, faults[0].reason)
			}
			var back Rule
			back.Close = r.Close
			for j := range again {
				back.Clauses = append(back.Clauses, again[j].clause(Egress, false, "x", 0))
			}
			if second, err := formatClauses(&back, Egress, false); err != nil || strings.Join(second, ",") != strings.Join(texts, ",") {
				t.Fatalf("%q: written as %q, then as %q (%v)", terms[i].text, texts, second, err)
			}
		}
	})
}
