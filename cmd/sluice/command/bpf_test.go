package command

import (
	"testing"

	"github.com/sluice-net/sluice/api"
)

func TestBPFLists(t *testing.T) {
	for _, table := range []string{"conntrack", "endpoints", "policy", "metrics"} {
		for _, format := range []string{"table", "wide", "json", "yaml"} {
			t.Run(table+"-"+format, func(t *testing.T) {
				goldenRun(t, "bpf/"+table+"-"+format+".txt", "bpf", table, "list", "-o", format)
			})
		}
	}
}

func TestBPFListsOfEndpoints(t *testing.T) {
	goldenRun(t, "bpf/conntrack-endpoint.txt", "bpf", "ct", "ls", "db")
	goldenRun(t, "bpf/policy-endpoint.txt", "bpf", "policy", "ls", "web")
}

func TestPortRange(t *testing.T) {
	for want, e := range map[string]api.PolicyEntry{
		"any":                         {Protocol: "any", To: 65535},
		"80":                          {Protocol: "tcp", From: 80, To: 80},
		"80-90":                       {Protocol: "tcp", From: 80, To: 90},
		"type 8":                      {Protocol: "icmp", From: 8 << 8, To: 8<<8 | 255},
		"type 3 code 4":               {Protocol: "icmp", From: 3<<8 | 4, To: 3<<8 | 4},
		"type 1 code 0-type 2 code 1": {Protocol: "icmpv6", From: 1 << 8, To: 2<<8 | 1},
	} {
		if got := portRange(e); got != want {
			t.Errorf("%+v: got %q, want %q", e, got, want)
		}
	}
}
