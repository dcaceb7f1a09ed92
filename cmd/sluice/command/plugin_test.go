package command

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api/server"
	"github.com/sluice-net/sluice/api/server/servertest"
)

func TestDockerPluginArguments(t *testing.T) {
	for _, c := range []struct {
		argv []string
		args []string
		is   bool
	}{
		{[]string{"sluice", "status"}, []string{"status"}, false},
		{[]string{"/usr/bin/sluice", "sluice"}, []string{"sluice"}, false},
		{[]string{"/x/docker-sluice", "sluice", "status"}, []string{"status"}, true},
		{[]string{"docker-sluice", "--debug", "sluice", "network", "get", "sluice"}, []string{"network", "get", "sluice"}, true},
		{[]string{"docker-sluice", "__complete", "sluice", "net"}, []string{"__complete", "net"}, true},
		{[]string{"docker-sluice", "docker-cli-plugin-metadata"}, []string{"docker-cli-plugin-metadata"}, true},
		{[]string{"docker-sluice"}, []string{}, true},
	} {
		args, is := dockerPlugin(c.argv)
		if diff := cmp.Diff(c.args, args); diff != "" || is != c.is {
			t.Errorf("%q: plugin %v (-want +got):\n%s", c.argv, is, diff)
		}
	}
}

func TestDockerPluginMetadata(t *testing.T) {
	got := run(t, "", "docker-sluice", "docker-cli-plugin-metadata")
	var m map[string]string
	if err := json.Unmarshal([]byte(got.out), &m); err != nil || got.code != exitGood {
		t.Fatalf("%+v: %v", got, err)
	}
	if m["SchemaVersion"] != "0.1.0" || m["Vendor"] == "" || m["Version"] != "0.1.0" {
		t.Errorf("metadata %v", m)
	}
}

func TestDockerPluginRuns(t *testing.T) {
	socket := servertest.Serve(t, servertest.Sample().Backend(), server.Options{})
	got := run(t, "", "docker-sluice", "sluice", "--socket", socket, "log", "level", "get")
	if got.code != exitGood || got.out != "info\n" {
		t.Errorf("got %+v", got)
	}
	help := run(t, "", "docker-sluice", "sluice", "network", "--help")
	if !strings.Contains(help.out, "docker sluice network [command]") {
		t.Errorf("help does not speak of docker sluice:\n%s", help.out)
	}
}
