package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/cmd/sluice/flows"
)

// filterFlag hands a flag's value to the filter under the flag's name: their order matters, because of --not.
type filterFlag struct {
	filter *flows.Filter
	name   string
	value  string // what help calls the value; empty: the flag has none
}

// String is empty: no filter has a default.
func (f *filterFlag) String() string { return "" }

// Type is what help calls the value.
func (f *filterFlag) Type() string {
	if f.value == "" {
		return "bool"
	}
	return f.value
}

// Set adds to the filter.
func (f *filterFlag) Set(v string) error {
	if f.value == "" && v != "true" {
		return fmt.Errorf("it takes no value")
	}
	return f.filter.Set(f.name, v)
}

// filterAbout is one flag that filters.
type filterAbout struct {
	name, short, value, about string
	ends                      bool // also as from- and to-
}

// filterFlags are the flags that filter; all but the first three are hubble's.
var filterFlags = []filterAbout{
	{"container", "", "names", "containers of these names", true},
	{"service", "", "names", "containers of these compose services: SERVICE or PROJECT/SERVICE", true},
	{"project", "", "names", "containers of these compose projects", true},
	{"pod", "", "prefix", "containers whose names begin so: [PROJECT/]NAME, without PROJECT/ outside of compose", true},
	{"namespace", "n", "name", "containers of this compose project", true},
	{"all-namespaces", "A", "", "containers of whatever project", true},
	{"label", "l", "selector", "containers with these labels: a=b,c, \"a in (b,c)\", !a, reserved:world", true},
	{"workload", "", "name", "containers of this compose service, or the container of this name", true},
	{"identity", "", "identity", "a number, or host, world and so on", true},
	{"ip", "", "addresses", "these addresses or CIDRs", true},
	{"port", "", "ports", "these ports", true},
	{"fqdn", "", "domain", "addresses that this domain was resolved to; * is any part", true},
	{"cluster", "", "name", "containers of this cluster", true},
	{"not", "", "", "negate the next filter", false},
	{"verdict", "", "verdicts", "these verdicts: " + strings.Join(flows.VerdictNames(), ", "), false},
	{"drop-reason-desc", "", "reasons", "drops for these reasons: policy_denied and so on", false},
	{"type", "t", "types", "these types: drop, policy-verdict, trace[:SUBTYPE], trace-sock, l7, capture", false},
	{"protocol", "", "protocols", "these protocols: tcp, udp, icmp, sctp, http, dns", false},
	{"traffic-direction", "", "direction", "connections that containers open (egress) or are opened (ingress)", false},
	{"reply", "", "", "replies only", false},
	{"not-reply", "", "", "no replies", false},
	{"tcp-flags", "", "flags", "TCP segments with all these flags: syn,ack", false},
	{"ipv4", "4", "", "IPv4 only", false},
	{"ipv6", "6", "", "IPv6 only", false},
	{"ip-version", "", "version", "v4, v6 or none", false},
	{"snat-ip", "", "addresses", "masqueraded as these addresses or CIDRs", false},
	{"interface", "", "name", "seen at this interface", false},
	{"node-name", "", "pattern", "seen on these nodes: [CLUSTER/]NAME with wildcards", false},
	{"node-label", "", "selector", "seen on nodes with these labels", false},
	{"http-status", "", "code", "HTTP answers of this status: 404, 5+", false},
	{"http-method", "", "methods", "HTTP requests of these methods", false},
	{"http-path", "", "regexp", "HTTP requests of such a path", false},
	{"http-url", "", "regexp", "HTTP requests of such a URL", false},
	{"http-header", "", "header", "HTTP requests with this header: NAME:VALUE", false},
	{"dns-query", "", "regexp", "DNS queries for such a name", false},
	{"trace-id", "", "id", "HTTP requests of this trace", false},
	{"uuid", "", "id", "the flow of this id", false},
	{"encrypted", "", "", "encrypted only", false},
	{"unencrypted", "", "", "unencrypted only", false},
	{"cel-expression", "", "expression", "flows for which this CEL expression is true, if the server knows CEL", false},
}

// filters adds the flags that filter.
func (f *observeFlags) filters(a *app, cmd *cobra.Command) {
	add := func(name, short, value, about string) {
		flag := cmd.Flags().VarPF(&filterFlag{&f.filter, name, value}, name, short, about)
		if value == "" {
			flag.NoOptDefVal = "true"
		}
	}
	for _, d := range filterFlags {
		if !d.ends {
			add(d.name, d.short, d.value, d.about)
			continue
		}
		add(d.name, d.short, d.value, "either end: "+d.about)
		add("from-"+d.name, "", d.value, "source: "+d.about)
		add("to-"+d.name, "", d.value, "destination: "+d.about)
	}
	fixed(cmd, "verdict", flows.VerdictNames()...)
	fixed(cmd, "drop-reason-desc", flows.ReasonNames()...)
	fixed(cmd, "type", flows.TypeNames()...)
	fixed(cmd, "protocol", "tcp", "udp", "icmp", "icmpv6", "sctp", "http", "dns")
	fixed(cmd, "traffic-direction", "ingress", "egress")
	fixed(cmd, "tcp-flags", "syn", "ack", "fin", "rst", "psh", "urg", "ece", "cwr", "ns")
	fixed(cmd, "ip-version", "v4", "v6", "none")
	fixed(cmd, "http-method", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE")
	for _, end := range []string{"", "from-", "to-"} {
		fixed(cmd, end+"identity", flows.IdentityNames()...)
		a.completeFlag(cmd, end+"container", onlyContainers)
		a.completeFlag(cmd, end+"service", serviceNames)
		a.completeFlag(cmd, end+"workload", workloadNames)
		a.completeFlag(cmd, end+"project", projectNames)
		a.completeFlag(cmd, end+"namespace", projectNames)
		a.completeFlag(cmd, end+"pod", podNames)
	}
}
