package metrics

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		list string
		want string // of the metrics' labels, or of the error behind "! "
	}{
		"nothing":      {"  ", ""},
		"names":        {"drop tcp", "drop() tcp()"},
		"sides":        {"drop:sourceContext=pod;destinationContext=workload|dns|ip", "drop(source destination)"},
		"a direction":  {"flow:sourceEgressContext=pod-name", "flow(source)"},
		"labels":       {"icmp:labelsContext=source_pod,traffic_direction,source_pod", "icmp(source_pod traffic_direction)"},
		"own labels":   {"drop:labelsContext=source_service,destination_container", "drop(source_service destination_container)"},
		"flags":        {"flows-to-world:any-drop;port;syn-only=true;sourceContext=app", "flows-to-world(source) any-drop port syn-only"},
		"the default":  {Default, "drop("},
		"unknown name": {"drop dns", `! unknown metric "dns": use drop, flow, flows-to-world, icmp, policy, port-distribution, tcp, separated by spaces`},
		"commas":       {"drop,flow", `! unknown metric "drop,flow"`},
		"twice":        {"drop drop:sourceContext=ip", `! metric "drop": it is named twice`},
		"option":       {"drop:port", `! metric "drop": unknown option "port": use sourceContext, sourceEgressContext`},
		"no option":    {"drop:", `! metric "drop": unknown option ""`},
		"value":        {"drop:sourceContext=pod|colour", `! metric "drop": option sourceContext: unknown value "colour": use app, dns, identity, ip`},
		"label":        {"drop:labelsContext=source_colour", `! option labelsContext: unknown value "source_colour": use source_app`},
		"flag's value": {"flows-to-world:port=80", `! option port has no value`},
		"empty value":  {"flow:sourceContext", `! unknown value ""`},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := Parse(c.list)
			var got []string
			for _, w := range config {
				words := append([]string{w.Name + "(" + strings.Join(w.Contexts.names(), " ") + ")"}, w.Flags...)
				got = append(got, strings.Join(words, " "))
			}
			if want, wrong := strings.CutPrefix(c.want, "! "); wrong {
				for _, part := range strings.Split(want, "!") {
					if err == nil || !strings.Contains(err.Error(), part) {
						t.Errorf("error %v, want %s", err, part)
					}
				}
			} else if err != nil || !strings.HasPrefix(strings.Join(got, " "), want) {
				t.Errorf("got %s, %v", strings.Join(got, " "), err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{Default, "drop", "flow:sourceContext=pod|ip;destinationContext=dns", "flows-to-world:port;any-drop", ":;=|,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		c, err := Parse(list)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without words")
			}
			return
		}
		NewFlows(c, func() map[string]bool { return nil }) // what is accepted can be counted
	})
}
