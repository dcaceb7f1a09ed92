package command

import "testing"

func TestIdentityList(t *testing.T) {
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		t.Run(format, func(t *testing.T) { goldenRun(t, "identity/list-"+format+".txt", "identity", "list", "-o", format) })
	}
}

func TestIdentityGet(t *testing.T) {
	for name, ref := range map[string]string{"number": "258", "reserved": "host", "endpoint": "web"} {
		t.Run(name, func(t *testing.T) { goldenRun(t, "identity/get-"+name+".txt", "identity", "get", ref) })
	}
}
