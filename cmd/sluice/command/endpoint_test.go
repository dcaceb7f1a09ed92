package command

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server/servertest"
)

func TestEndpointList(t *testing.T) {
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		t.Run(format, func(t *testing.T) { goldenRun(t, "endpoint/list-"+format+".txt", "endpoint", "list", "-o", format) })
	}
}

func TestEndpointListFilters(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string // short ids
	}{
		{nil, []string{"aa0100000000", "aa0200000000", "ab0300000000", "ac0400000000"}},
		{[]string{"--network", "back"}, []string{"aa0200000000", "ab0300000000"}},
		{[]string{"--network", "f1"}, []string{"aa0100000000", "ac0400000000"}},
		{[]string{"-l", "app=web"}, []string{"aa0100000000", "aa0200000000"}},
		{[]string{"-l", "app", "-l", "tier=canary"}, []string{"aa0100000000"}},
		{[]string{"-l", "app=nothing"}, nil},
	} {
		got := sluice(t, servertest.Sample(), append([]string{"endpoint", "list", "--no-headers"}, c.args...)...)
		var ids []string
		for line := range strings.Lines(got.out) {
			ids = append(ids, strings.Fields(line)[0])
		}
		if diff := cmp.Diff(c.want, ids); diff != "" || got.code != exitGood {
			t.Errorf("%v: exit code %d (-want +got):\n%s", c.args, got.code, diff)
		}
	}
}

func TestEndpointGet(t *testing.T) {
	for _, format := range []string{"table", "json", "yaml"} {
		t.Run(format, func(t *testing.T) {
			goldenRun(t, "endpoint/get-"+format+".txt", "endpoint", "get", "web@front", "db", "-o", format)
		})
	}
}

func TestEndpointLabel(t *testing.T) {
	f := servertest.Sample()
	got := sluice(t, f, "endpoint", "label", "web", "--add", "tier=blue", "--add", "empty=", "--remove", "app")
	if got.code != exitGood || got.out != "labels of web changed: revision 12\n" {
		t.Errorf("got %+v", got)
	}
	want := []servertest.Call{{Method: "Relabel", Args: map[string]any{"id": servertest.WebF, // once, though web has two endpoints
		"change": api.LabelChange{Add: map[string]string{"tier": "blue", "empty": ""}, Remove: []string{"app"}}}}}
	if diff := cmp.Diff(want, f.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestEndpointLabelWaits(t *testing.T) {
	f := servertest.Sample()
	got := sluice(t, f, "endpoint", "label", "web", "--add", "tier=blue", "--wait", "--timeout", "5s")
	if got.code != exitGood || got.out != "revision 12 is in effect, 2 endpoints regenerated\n" {
		t.Errorf("got %+v", got)
	}
	f.Regenerations[1].Error = "load programs: invalid argument"
	got = sluice(t, f, "endpoint", "label", "web", "--add", "tier=blue", "--wait")
	want := "sluice: regenerate endpoints: 1 of 2 failed and run their old programs\n  db@back: load programs: invalid argument\n"
	if got.code != exitRefused || got.err != want || got.out != "revision 12 is not in effect everywhere: 1 endpoint regenerated, 1 not\n" {
		t.Errorf("got %+v, want stderr %q", got, want)
	}
	f.Regenerations[1].Error, f.WaitError = "", errors.New("the kernel is gone")
	got = sluice(t, f, "endpoint", "label", "web", "--add", "tier=blue", "--wait")
	if got.code != exitRefused || !strings.Contains(got.err, "wait for revision 12 (the change itself was accepted): the kernel is gone") {
		t.Errorf("got %+v", got)
	}
}

func TestEndpointRegenerate(t *testing.T) {
	goldenRun(t, "endpoint/regenerate.txt", "endpoint", "regenerate", "--all")
	f := servertest.Sample()
	f.Regenerations[1].Error = "load programs: invalid argument"
	got := sluice(t, f, "endpoint", "regenerate", "db")
	if got.code != exitRefused || !strings.Contains(got.out, "failed") || !strings.Contains(got.err, "1 of 1 failed") {
		t.Errorf("got %+v", got)
	}
	want := []servertest.Call{{Method: "Regenerate", Args: []string{servertest.DB}}}
	if diff := cmp.Diff(want, f.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}
