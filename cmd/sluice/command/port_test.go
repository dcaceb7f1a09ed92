package command

import "testing"

func TestPortList(t *testing.T) {
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		t.Run(format, func(t *testing.T) { goldenRun(t, "port/list-"+format+".txt", "port", "ls", "-o", format) })
	}
	t.Run("endpoint", func(t *testing.T) { goldenRun(t, "port/list-endpoint.txt", "port", "list", "db") })
}
