package export

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/confdir"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/export/sinktest"
)

// bench is exports of a directory that is followed.
type bench struct {
	*Exports
	t   *testing.T
	dir string // of configuration files
	out string // of exported files
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: filepath.Join(t.TempDir(), "export.d"), out: t.TempDir()}
	dir := confdir.New(b.dir, confdir.Options{Extensions: []string{".yaml"}, MaxBytes: MaxDocumentBytes, Settle: 20 * time.Millisecond, Poll: 50 * time.Millisecond})
	b.Exports = New(Options{Dir: dir, Ring: observe.NewFlows(1000), Converter: sinktest.Converter, Version: "0.4.0", Log: quiet()})
	b.Load()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Follow(ctx) }()
	t.Cleanup(func() { cancel(); <-done; b.Close(patience) })
	return b
}

// write replaces a configuration file; $OUT is where flows go.
func (b *bench) write(name, text string) {
	b.t.Helper()
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	aside := filepath.Join(b.dir, "."+name)
	if err := os.WriteFile(aside, []byte(strings.ReplaceAll(text, "$OUT", b.out)), 0o644); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(aside, filepath.Join(b.dir, name)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) remove(name string) {
	b.t.Helper()
	if err := os.Remove(filepath.Join(b.dir, name)); err != nil {
		b.t.Fatal(err)
	}
}

// describe says in a line what runs and what is wrong.
func (b *bench) describe() string {
	var words []string
	for _, x := range b.List() {
		words = append(words, x.Name)
	}
	for _, p := range b.Problems() {
		words = append(words, "!"+strings.ReplaceAll(p, b.dir+"/", ""))
	}
	return strings.Join(words, " ")
}

// until waits until what runs and what is wrong is described by a text, in which … stands for anything.
func (b *bench) until(want string) {
	b.t.Helper()
	parts := strings.Split(want, "…")
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		got := b.describe()
		rest, fits := strings.CutPrefix(got, parts[0])
		for _, p := range parts[1:] {
			_, after, ok := strings.Cut(rest, p)
			rest, fits = after, fits && ok
		}
		if fits && (rest == "" || strings.HasSuffix(want, "…")) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("never %q, but %q", want, got)
		}
	}
}

// add adds flows from the source port on.
func (b *bench) add(from, to int) {
	for port := from; port <= to; port++ {
		b.Ring.Add(sinktest.Records(port - 10000 + 1)[port-10000].Flow)
	}
}

// ports waits for the source ports of a file's flows.
func (b *bench) ports(name string, from, to int) {
	b.t.Helper()
	var want []int
	for port := from; port <= to; port++ {
		want = append(want, port)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		var got []int
		text, _ := os.ReadFile(filepath.Join(b.out, name))
		for line := range strings.Lines(string(text)) {
			var e observerpb.ExportEvent
			if err := json.Unmarshal([]byte(line), &e); err == nil {
				got = append(got, int(e.GetFlow().GetL4().GetTCP().GetSourcePort()))
			}
		}
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s has %v, want %v", name, got, want)
		}
	}
}

const one = "exports: [{name: one, type: file, path: $OUT/one.json, batch: {delay: 5ms}}]"

func TestFollow(t *testing.T) {
	b := newBench(t)
	if b.describe() != "" {
		t.Errorf("without a directory: %s", b.describe())
	}
	b.add(10000, 10001)
	b.write("a.yaml", one)
	b.until("one")
	b.add(10002, 10010) // an export begins with what comes
	b.ports("one.json", 10002, 10010)

	// A broken file keeps its exports at work.
	b.write("a.yaml", "exports: [{name: one, type: file, pth: $OUT/two.json}]")
	b.until("one !a.yaml:1: exports[0].pth: unknown field…")
	b.add(10011, 10012)
	b.ports("one.json", 10002, 10012)
	b.write("a.yaml", "")
	b.until("one !a.yaml: the file is empty…")

	// A change neither loses nor repeats; counts go on.
	b.write("a.yaml", strings.Replace(one, "one.json", "two.json", 1))
	b.until("one")
	b.add(10013, 10020)
	b.ports("two.json", 10013, 10020)
	b.ports("one.json", 10002, 10012)
	if x := b.List()[0]; x.Exported != 19 || x.Source != filepath.Join(b.dir, "a.yaml") || x.State != api.ExportUp {
		t.Errorf("%+v", x)
	}
	before := b.Stats()
	b.write("b.yaml", "exports: []")
	b.write("c.yaml", "# nothing")
	b.remove("a.yaml")
	b.until("")
	s := b.Stats()
	if s.Added != 1 || s.Updated != 1 || s.Removed != 1 || s.Hash != 0 || before.Hash == 0 || s.Applied.IsZero() {
		t.Errorf("%+v", s)
	}
}

// TestClaims: names and written files belong to who had them first.
func TestClaims(t *testing.T) {
	b := newBench(t)
	b.write("b.yaml", one)
	b.until("one")
	b.write("a.yaml", one)
	b.until("one !a.yaml: export one stands in b.yaml already: rename one of them")
	b.write("a.yaml", strings.Replace(one, "name: one", "name: two", 1))
	b.until("one !a.yaml: export two: …one.json is written by an export of b.yaml already")
	b.write("a.yaml", `exports:
- {name: x, type: file, path: $OUT/x}
- {name: y, type: file, path: $OUT/x}`)
	b.until("one !a.yaml: export y: …x is written by an export of this file already")
	b.write("a.yaml", "exports: [{name: three, type: file, path: $OUT/three.json}]")
	b.until("one three")
	b.remove("b.yaml")
	b.until("three")
	// What moves from one file to another goes on.
	b.add(10000, 10003)
	b.ports("three.json", 10000, 10003)
	b.write("c.yaml", "exports: [{name: three, type: file, path: $OUT/three.json}]")
	b.until("three !c.yaml: …")
	b.remove("a.yaml")
	b.write("d.yaml", "# wake")
	b.until("three")
	b.add(10004, 10006)
	b.ports("three.json", 10000, 10006)
}

// TestDirectory: exports go on while the directory cannot be read.
func TestDirectory(t *testing.T) {
	b := newBench(t)
	b.write("a.yaml", one)
	b.until("one")
	if err := os.Rename(b.dir, b.dir+".away"); err != nil {
		t.Fatal(err)
	}
	b.until("one !read directory: …")
	b.add(10000, 10004)
	b.ports("one.json", 10000, 10004)
	if err := os.Rename(b.dir+".away", b.dir); err != nil {
		t.Fatal(err)
	}
	b.until("one")
}

// TestClose: a daemon that stops sends what is in memory; the next one begins with what comes.
func TestClose(t *testing.T) {
	b := newBench(t)
	b.write("a.yaml", strings.Replace(one, "5ms", "1m", 1))
	b.until("one")
	b.add(10000, 10099)
	b.Close(patience)
	b.ports("one.json", 10000, 10099)
	b.add(10100, 10100) // too late

	o := b.Options
	o.Dir = confdir.New(b.dir, confdir.Options{Extensions: []string{".yaml"}, MaxBytes: MaxDocumentBytes})
	next := New(o)
	next.Load()
	b.add(10101, 10101)
	next.Close(patience)
	text, err := os.ReadFile(filepath.Join(b.out, "one.json"))
	if n := strings.Count(string(text), "\n"); err != nil || n != 101 || strings.Contains(string(text), "10100") {
		t.Errorf("%d lines, %v", n, err)
	}
}

// TestManyDead: exports that are down hold up neither changes nor the end for long, all together.
func TestManyDead(t *testing.T) {
	b := newBench(t)
	var text strings.Builder
	text.WriteString("exports:\n")
	for i := range 20 {
		fmt.Fprintf(&text, "- {name: dead%d, type: syslog, address: 'tcp://127.0.0.1:1', batch: {delay: 1ms}}\n", i)
	}
	b.write("a.yaml", text.String())
	b.until("dead0 …")
	b.add(10000, 10009)
	for deadline := time.Now().Add(patience); slices.ContainsFunc(b.List(), func(x api.Export) bool { return x.State != api.ExportDown }); {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", b.List())
		}
		time.Sleep(5 * time.Millisecond)
	}
	start := time.Now()
	b.Close(500 * time.Millisecond)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the end took %v", took)
	}
}
