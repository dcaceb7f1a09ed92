package command

import "testing"

func TestNetworkList(t *testing.T) {
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		t.Run(format, func(t *testing.T) { goldenRun(t, "network/list-"+format+".txt", "network", "list", "-o", format) })
	}
	t.Run("no-headers", func(t *testing.T) { goldenRun(t, "network/list-no-headers.txt", "network", "ls", "--no-headers") })
}

func TestNetworkGet(t *testing.T) {
	for _, format := range []string{"table", "json", "yaml"} {
		t.Run(format, func(t *testing.T) {
			goldenRun(t, "network/get-"+format+".txt", "network", "get", "front", "f2", "-o", format)
		})
	}
}
