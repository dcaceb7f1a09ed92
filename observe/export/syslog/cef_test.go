package syslog

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/export/sink"
	"github.com/sluice-net/sluice/observe/export/sinktest"
)

func TestCEF(t *testing.T) {
	reply := sinktest.Closed(4)
	reply.Kernel.Reply = 1
	masked := sinktest.Record(sinktest.Dropped(4))
	masked.Hubble.Source, masked.Hubble.Uuid, masked.Hubble.IP = nil, "", nil
	for _, c := range []struct {
		name        string
		record      sink.Record
		class, what string
		severity    int
		fields      map[string]string
	}{
		{"dropped, IPv6", sinktest.Record(sinktest.Dropped(6)), "policy_deny", "Packet dropped", 6, map[string]string{
			"act": "dropped", "reason": "POLICY_DENY", "proto": "TCP", "c6a2": "fd09::2", "c6a2Label": "Source IPv6 Address",
			"c6a3": "fd09::3", "c6a3Label": "Destination IPv6 Address", "spt": "40000", "dpt": "5432", "shost": "shop-web-1",
			"dhost": "shop-db-1", "deviceDirection": "1", "cs1": "shop/no-db", "cs1Label": "policy", "cs2": "shop",
			"cs2Label": "sourceNamespace", "cs3": "shop", "cs3Label": "destinationNamespace", "cs4": "web",
			"cs4Label": "sourceWorkload", "cs5": "db", "cs5Label": "destinationWorkload", "msg": "TCP Flags: SYN",
			"rt": "1893553447178", "dvchost": "node-1",
		}},
		{"closed, IPv4", sinktest.Record(sinktest.Closed(4)), "forwarded", "Flow forwarded", 1, map[string]string{
			"act": "forwarded", "proto": "TCP", "src": "10.9.0.2", "dst": "10.9.0.3", "spt": "40000", "dpt": "5432",
			"shost": "shop-web-1", "dhost": "shop-db-1", "deviceDirection": "1", "cs2": "shop",
			"cs2Label": "sourceNamespace", "cs3": "shop", "cs3Label": "destinationNamespace", "cs4": "web",
			"cs4Label": "sourceWorkload", "cs5": "db", "cs5Label": "destinationWorkload", "cs6": "false", "cs6Label": "reply",
			"msg": "TCP Flags: ACK, FIN", "rt": "1893553447178", "start": "1893553445678", "end": "1893553447178",
			"in": "1000", "out": "50000", "dvchost": "node-1",
		}},
		{"lost", sinktest.Record(sinktest.Lost(12)), "lost", "Flows lost", 5, map[string]string{
			"cnt": "12", "reason": "PERF_EVENT_RING_BUFFER", "rt": "1893553445678", "dvchost": "node-1",
		}},
		{"masked", masked, "policy_deny", "Packet dropped", 6, map[string]string{
			"act": "dropped", "reason": "POLICY_DENY", "proto": "TCP", "spt": "40000", "dpt": "5432", "dhost": "shop-db-1",
			"deviceDirection": "1", "cs1": "shop/no-db", "cs1Label": "policy", "cs3": "shop", "cs3Label": "destinationNamespace",
			"cs5": "db", "cs5Label": "destinationWorkload", "msg": "TCP Flags: SYN", "rt": "1893553447178", "dvchost": "node-1",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			class, what, severity, fields, err := parseCEF(string(cef(nil, "0.4.0", c.record)))
			if err != nil || class != c.class || what != c.what || severity != c.severity {
				t.Fatalf("%s, %s, %d, %v", class, what, severity, err)
			}
			delete(fields, "externalId") // a hash
			if diff := cmp.Diff(c.fields, fields); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	_, _, _, fields, err := parseCEF(string(cef(nil, "0.4.0", sinktest.Record(reply))))
	if err != nil || fields["in"] != "50000" || fields["out"] != "1000" {
		t.Errorf("a reply carries in=%s from its source, out=%s, %v", fields["in"], fields["out"], err)
	}
}

// printable is what becomes of a text: control characters other than line breaks are spaces, in headers line breaks, too.
func printable(s string, breaks bool) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r < 0x80 && !(breaks && (r == '\n' || r == '\r')) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// FuzzCEF checks that whatever stands in a name is read back as it was, and disturbs no other field.
func FuzzCEF(f *testing.F) {
	for _, s := range []string{"web", `a|b\c=d`, "a b=c d=e", "line\nbreak\r", "tab\tbell\a", "\xff\xfe", "üñ", `\`, "=", " x ", "a\\"} {
		f.Add(s, "p/"+s)
	}
	f.Fuzz(func(t *testing.T, name, policy string) {
		flow := sinktest.Dropped(4)
		source := *sinktest.Web
		source.Container = name
		flow.Source, flow.Rule = &source, &observe.Rule{Policy: "x" + policy}
		r := sinktest.Record(flow)
		r.Hubble.Summary = name + policy //nolint:staticcheck // the last field
		text := string(cef(nil, "v"+name, r))
		class, _, _, fields, err := parseCEF(text)
		if err != nil || class != "policy_deny" {
			t.Fatalf("%q: %s, %v", text, class, err)
		}
		// A space at the end of a value cannot be told from the one before the next key: the parser keeps it.
		want := printable(name, true)
		if name == "" {
			want = ""
		}
		if fields["shost"] != want {
			t.Errorf("%q is read as %q", name, fields["shost"])
		}
		if fields["dst"] != "10.9.0.3" || fields["msg"] != printable(name+policy, true) && name+policy != "" {
			t.Errorf("%q: dst %q, msg %q", text, fields["dst"], fields["msg"])
		}
	})
}

func TestSeverity(t *testing.T) {
	audit := sinktest.Dropped(4)
	audit.Kernel.Type = abi.EventAudit
	for name, c := range map[string]struct {
		flow *observe.Flow
		want int
		id   string
	}{
		"dropped":   {sinktest.Dropped(4), severityWarning, "DROPPED"},
		"forwarded": {sinktest.Closed(6), severityInfo, "FORWARDED"},
		"audit":     {audit, severityNotice, "AUDIT"},
		"lost":      {sinktest.Lost(1), severityWarning, "lost"},
	} {
		r := sinktest.Record(c.flow)
		if got, id := severity(r), messageID(r); got != c.want || id != c.id {
			t.Errorf("%s: %d, %s", name, got, id)
		}
	}
}
