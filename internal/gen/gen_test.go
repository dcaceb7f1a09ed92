package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/internal/testutil"
)

const root = "../.."

// What is generated is what is checked in.
func TestUpToDate(t *testing.T) {
	if _, err := exec.LookPath("clang"); err != nil {
		testutil.NotSupported(t, "clang", "", err)
	}
	files, err := Generate(root, "clang")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Errorf("%v: run make generate", err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale, run make generate (- wanted):\n%s", name, diff)
		}
	}
}

func TestGoName(t *testing.T) {
	for c, want := range map[string]string{"lo_port": "LoPort", "FLOW_RESET": "FlowReset", "icmp_type": "ICMPType",
		"DROP_NOT_IP": "DropNotIP", "ifindex": "Ifindex", "addr4": "Addr4"} {
		if got := goName(c); got != want {
			t.Errorf("%s: %s, want %s", c, got, want)
		}
	}
}

func TestParseDrops(t *testing.T) {
	drops, err := parseDrops(`X(1, A, "a b", "first") \` + "\n" + `X(7, B_C, "bc", "second")`)
	if err != nil {
		t.Fatal(err)
	}
	want := []drop{{1, "A", "a b", "first"}, {7, "B_C", "bc", "second"}}
	if diff := cmp.Diff(want, drops, cmp.AllowUnexported(drop{})); diff != "" {
		t.Error(diff)
	}
	for about, bad := range map[string]string{
		"none":              "",
		"number twice":      `X(1, A, "a", "x") X(1, B, "b", "x")`,
		"constant twice":    `X(1, A, "a", "x") X(2, A, "b", "x")`,
		"name in two lines": `X(1, A, "a", "x") X(2, B, "a", "x")`,
	} {
		if _, err := parseDrops(bad); err == nil {
			t.Errorf("%s: no error", about)
		}
	}
}

func TestParseMap(t *testing.T) {
	m, err := parseMap(`/* Key: an address. Value: who has it.
 * Writer: Go. Reader: the programs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 12);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} endpoints SEC(".maps");`)
	if err != nil {
		t.Fatal(err)
	}
	want := bpfMap{name: "endpoints", kind: "HASH", entries: "12", flags: "NO_PREALLOC", key: "an address",
		value: "who has it", writer: "Go", reader: "the programs"}
	if m != want {
		t.Errorf("%+v, want %+v", m, want)
	}
	if _, err := parseMap(`/* Key: an address. */` + "\nstruct {\n} m SEC(\".maps\");"); err == nil {
		t.Error("no error for a map without writer and reader")
	}
}

func TestReadComment(t *testing.T) {
	text, last := readComment("goes on", []string{"/* goes on", " * and on */", "next"}, 0)
	if text != "goes on and on" || last != 1 {
		t.Errorf("%q, line %d", text, last)
	}
}
