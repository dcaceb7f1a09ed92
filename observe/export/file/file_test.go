package file

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/observe/export/sink"
	"github.com/sluice-net/sluice/observe/export/sinktest"
)

// send sends records, which must all be taken.
func send(t *testing.T, s *Sink, records []sink.Record) {
	t.Helper()
	if r := s.Send(t.Context(), records); r.Err != nil || r.Sent != len(records) || r.Refused != 0 {
		t.Fatalf("%d records: %+v", len(records), r)
	}
}

func open(t *testing.T, c Config) *Sink {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	s := New(c)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// lines reads the lines of a file, each of which must be an event.
func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		r, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if text, err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		t.Errorf("%s ends within a line", path)
	}
	var all []string
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for scanner.Scan() {
		var e observerpb.ExportEvent
		if err := e.UnmarshalJSON(scanner.Bytes()); err != nil {
			t.Fatalf("%s: %v: %s", path, err, scanner.Bytes())
		}
		all = append(all, scanner.Text())
	}
	return all
}

// ports are the source ports of lines, which tell records apart.
func ports(t *testing.T, all []string) (found []uint32) {
	t.Helper()
	for _, line := range all {
		var e observerpb.ExportEvent
		if err := e.UnmarshalJSON([]byte(line)); err != nil {
			t.Fatal(err)
		}
		found = append(found, e.GetFlow().GetL4().GetTCP().GetSourcePort())
	}
	return found
}

func TestContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "too", "flows.json")
	s := open(t, Config{Path: path, Mode: "0640"})
	records := append(sinktest.Records(3), sinktest.Record(sinktest.Lost(12)))
	send(t, s, records)
	for i, line := range lines(t, path) {
		want, err := sinktest.Converter.Export(records[i].Flow, nil).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(value(t, string(want)), value(t, line)); diff != "" {
			t.Errorf("line %d (-want +got):\n%s", i, diff)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("directory: mode %v, %v", info.Mode(), err)
	}
	// Another one goes on where this ended, as after a restart.
	again := open(t, Config{Path: path})
	send(t, again, sinktest.Records(2))
	if got := lines(t, path); len(got) != 6 {
		t.Errorf("%d lines", len(got))
	}
}

// value parses JSON: the order of what a map holds, and spaces, may differ.
func value(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// backups lists the moved files, oldest first.
func backups(t *testing.T, path string) []string {
	t.Helper()
	all, err := filepath.Glob(strings.TrimSuffix(path, ".json") + "-*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

func TestRotateBySize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.json")
	keep := 2
	s := open(t, Config{Path: path, Mode: "0644", Rotate: Rotate{Size: 64 << 10, Keep: &keep, Compress: true}})
	var sent []uint32
	for range 6 {
		records := sinktest.Records(60)
		send(t, s, records)
		sent = append(sent, ports(t, slices.Collect(func(yield func(string) bool) {
			for _, r := range records {
				line, _ := r.Event().MarshalJSON()
				if !yield(string(line)) {
					return
				}
			}
		}))...)
		time.Sleep(2 * time.Millisecond) // the names of moved files have milliseconds
	}
	eventually(t, "never two compressed files", func() bool {
		all := backups(t, path)
		return len(all) == 2 && strings.HasSuffix(all[0], ".json.gz") && strings.HasSuffix(all[1], ".json.gz")
	})
	var got []uint32
	for _, file := range append(backups(t, path), path) {
		info, err := os.Stat(file)
		if err != nil || info.Size() > 64<<10 || info.Mode() != 0o644 {
			t.Errorf("%s: %d bytes, mode %v, %v", file, info.Size(), info.Mode(), err)
		}
		got = append(got, ports(t, lines(t, file))...)
	}
	if len(got) < 60 || !slices.Equal(got, sent[len(sent)-len(got):]) {
		t.Errorf("%d of %d lines, or in disorder", len(got), len(sent))
	}
}

func TestRotateByTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows.json")
	s := open(t, Config{Path: path, Rotate: Rotate{Every: sink.Duration(time.Hour)}})
	now := time.Now()
	s.now = func() time.Time { return now }
	send(t, s, sinktest.Records(1))
	now = now.Add(59 * time.Minute)
	send(t, s, sinktest.Records(1))
	if got := backups(t, path); len(got) != 0 {
		t.Fatalf("too early: %v", got)
	}
	now = now.Add(2 * time.Minute)
	send(t, s, sinktest.Records(1))
	if got := backups(t, path); len(got) != 1 || len(lines(t, got[0])) != 2 || len(lines(t, path)) != 1 {
		t.Errorf("moved: %v", got)
	}
}

// TestMovedByOthers: tools such as logrotate rename, remove or cut the file.
func TestMovedByOthers(t *testing.T) {
	for name, act := range map[string]func(path string) error{
		"renamed":                func(path string) error { return os.Rename(path, path+".1") },
		"removed":                os.Remove,
		"cut":                    func(path string) error { return os.Truncate(path, 0) },
		"renamed, another is up": func(path string) error { return replace(path) },
		"directory removed":      func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log", "flows.json")
			s := open(t, Config{Path: path, Rotate: Rotate{Every: sink.Duration(time.Hour)}})
			start := time.Now()
			send(t, s, sinktest.Records(2))
			s.now = func() time.Time { return start.Add(2 * time.Hour) } // a file that rotation made is left in place, too
			send(t, s, sinktest.Records(2))
			s.now = func() time.Time { return start.Add(2 * time.Hour) }
			if err := act(path); err != nil {
				t.Fatal(err)
			}
			s.now = time.Now
			send(t, s, sinktest.Records(3))
			if got := lines(t, path); len(got) != 3 {
				t.Errorf("%d lines", len(got))
			}
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}

func replace(path string) error {
	if err := os.Rename(path, path+".1"); err != nil {
		return err
	}
	return os.WriteFile(path, nil, 0o600)
}

func TestCannotOpen(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: "it is no regular file", fifo: "it is no regular file", filepath.Join(dir, "file", "x"): "not a directory",
	} {
		s := open(t, Config{Path: path})
		if r := s.Send(t.Context(), sinktest.Records(1)); r.Err == nil || r.Sent != 0 || !strings.Contains(r.Err.Error(), want) {
			t.Errorf("%s: %+v", path, r)
		}
	}
}

// TestPrivilegedDiskFull: what does not fit is not counted as sent, no line is torn, and writing goes on when there is room.
func TestPrivilegedDiskFull(t *testing.T) {
	testutil.Privileged(t)
	dir := t.TempDir()
	if err := unix.Mount("sluice-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "flows.json")
	s := open(t, Config{Path: path})
	sent := 0
	var full sink.Result
	for range 10 {
		records := sinktest.Records(20)
		full = s.Send(t.Context(), records)
		sent += full.Sent
		if full.Err != nil {
			break
		}
	}
	if full.Err == nil || !strings.Contains(full.Err.Error(), "no space left") {
		t.Fatalf("the disk is never full: %+v", full)
	}
	if got := lines(t, path); len(got) != sent || sent == 0 {
		t.Errorf("%d lines, %d were sent", len(got), sent)
	}
	if r := s.Send(t.Context(), sinktest.Records(20)); r.Err == nil {
		t.Errorf("still full: %+v", r)
	}
	if err := os.Rename(path, filepath.Join(t.TempDir(), "elsewhere")); err == nil {
		t.Fatal("renamed over file systems")
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	send(t, s, sinktest.Records(5))
	if got := lines(t, path); len(got) != 5 {
		t.Errorf("%d lines when there is room again", len(got))
	}
}

func TestCheck(t *testing.T) {
	negative := -1
	for want, c := range map[string]Config{
		`path: "" is not an absolute path`:           {},
		`path: "flows.json" is not an absolute path`: {Path: "flows.json"},
		"path: write /var/log/x":                     {Path: "/var//log/../log/x"},
		`mode: "0999" is not the mode`:               {Path: "/x", Mode: "0999"},
		`mode: "0755" is not the mode`:               {Path: "/x", Mode: "0755"},
		`mode: "0444" is not the mode`:               {Path: "/x", Mode: "0444"},
		`group: there is no group "none-such"`:       {Path: "/x", Group: "none-such"},
		"rotate.size: must be at least 64KiB":        {Path: "/x", Rotate: Rotate{Size: 1}},
		"rotate.every: must be at least 1s":          {Path: "/x", Rotate: Rotate{Every: 1}},
		"rotate.age: must be whole days, such as 7d": {Path: "/x", Rotate: Rotate{Age: sink.Duration(time.Hour)}},
		"rotate.keep: must not be negative":          {Path: "/x", Rotate: Rotate{Keep: &negative}},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	c := Config{Path: "/var/log/sluice/flows.json", Mode: "640", Group: "root"}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if mode, _ := c.mode(); mode != fs.FileMode(0o640) {
		t.Errorf("mode %v", mode)
	}
}
