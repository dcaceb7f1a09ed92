package confdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const longest = 20 * time.Second

var options = Options{Extensions: []string{".yaml", ".json"}, MaxBytes: 100, Settle: 20 * time.Millisecond, Patience: time.Second, Poll: 50 * time.Millisecond}

// describe writes files in a line: "a.yaml=text b.yaml!error".
func describe(files []File, err error) string {
	if err != nil {
		return "error"
	}
	var all []string
	for _, f := range files {
		if f.Err != nil {
			all = append(all, f.Name+"!")
			continue
		}
		all = append(all, f.Name+"="+string(f.Text))
	}
	return strings.Join(all, " ")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.yaml", "a.json", "README.md", ".hidden.yaml", "c.yaml~", "d.yaml.swp"} {
		write(t, filepath.Join(dir, name), name[:1])
	}
	write(t, filepath.Join(dir, "long.yaml"), strings.Repeat("x", 101))
	must(t, os.Mkdir(filepath.Join(dir, "sub.yaml"), 0o755))
	must(t, os.Symlink("b.yaml", filepath.Join(dir, "link.yaml")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "gone.yaml")))
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o644))
	if got := describe(New(dir, options).Read()); got != "a.json=a b.yaml=b gone.yaml! link.yaml=b long.yaml! pipe.yaml!" {
		t.Error(got)
	}
	if _, err := New(filepath.Join(dir, "none"), options).Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := New(filepath.Join(dir, "b.yaml"), options).Read(); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file: %v", err)
	}
}

// follow starts to follow a directory that was read, and returns what is told.
func follow(t *testing.T, dir string, o Options) <-chan string {
	t.Helper()
	d := New(dir, o)
	_, _ = d.Read()
	ctx, cancel := context.WithCancel(context.Background())
	told, done := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(done)
		d.Follow(ctx, func(files []File, err error) bool { told <- describe(files, err); return true })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return told
}

// wait returns when this is told, and what was told before it.
func wait(t *testing.T, told <-chan string, want string) (before []string) {
	t.Helper()
	deadline := time.After(longest)
	for {
		select {
		case got := <-told:
			if got == want {
				return before
			}
			before = append(before, got)
		case <-deadline:
			t.Fatalf("never told %q, but %q", want, before)
		}
	}
}

func TestFollow(t *testing.T) {
	for name, o := range map[string]Options{
		"by notification": {Extensions: options.Extensions, MaxBytes: 100, Settle: options.Settle, Poll: time.Hour},
		"by looking":      options,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
			write(t, a, "1")
			told := follow(t, dir, o)
			write(t, a, "2") // what changes at once may be missed by notification only before the first look
			wait(t, told, "a.yaml=2")
			write(t, b, "3")
			wait(t, told, "a.yaml=2 b.yaml=3")
			aside := filepath.Join(dir, ".a.yaml.tmp")
			write(t, aside, "4")
			must(t, os.Rename(aside, a)) // as editors do
			if before := wait(t, told, "a.yaml=4 b.yaml=3"); len(before) > 0 {
				t.Errorf("a replaced file was seen as %q", before)
			}
			must(t, os.Rename(a, filepath.Join(dir, "c.yaml")))
			if before := wait(t, told, "b.yaml=3 c.yaml=4"); len(before) > 0 {
				t.Errorf("a renamed file was seen as %q", before)
			}
			must(t, os.Remove(b))
			wait(t, told, "c.yaml=4")
			must(t, os.Chmod(filepath.Join(dir, "c.yaml"), 0o600))
			wait(t, told, "c.yaml=4")
		})
	}
}

// TestFollowLinks: as projected volumes and configuration managers do it, the directory's links lead through a link that
// is swapped.
func TestFollowLinks(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		must(t, os.Mkdir(filepath.Join(dir, version), 0o755))
		write(t, filepath.Join(dir, version, "a.yaml"), version)
	}
	conf := filepath.Join(dir, "conf")
	must(t, os.Mkdir(conf, 0o755))
	must(t, os.Symlink("../v1", filepath.Join(conf, "..data")))
	must(t, os.Symlink("..data/a.yaml", filepath.Join(conf, "a.yaml")))
	o := options
	o.Poll = time.Hour
	told := follow(t, conf, o)
	swap := func(target, link string) {
		must(t, os.Symlink(target, link+".new"))
		must(t, os.Rename(link+".new", link))
	}
	swap("../v2", filepath.Join(conf, "..data"))
	wait(t, told, "a.yaml=v2")
	write(t, filepath.Join(dir, "v2", "a.yaml"), "edited behind the link")
	wait(t, told, "a.yaml=edited behind the link")
}

// TestFollowDirectory: the directory itself comes, is swapped and goes.
func TestFollowDirectory(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "conf")
	told := follow(t, dir, options)
	must(t, os.Mkdir(dir, 0o755))
	wait(t, told, "")
	write(t, filepath.Join(dir, "a.yaml"), "1")
	wait(t, told, "a.yaml=1")
	must(t, os.Rename(dir, dir+".old"))
	wait(t, told, "error")
	must(t, os.Symlink("conf.old", dir))
	wait(t, told, "a.yaml=1")
	write(t, filepath.Join(dir+".old", "a.yaml"), "2")
	wait(t, told, "a.yaml=2")
}

// TestFollowSettles: a file that is written in steps is told once, when it holds still; one that never does, after all.
func TestFollowSettles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	o := options
	o.Settle, o.Patience = 300*time.Millisecond, time.Hour
	told := follow(t, dir, o)
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for i := range 10 {
		fmt.Fprint(f, i)
		time.Sleep(20 * time.Millisecond) // the pace of the writer, not synchronisation
	}
	if before := wait(t, told, "a.yaml=0123456789"); len(before) > 0 {
		t.Errorf("parts were told: %q", before)
	}

	o.Settle, o.Patience = 100*time.Millisecond, 300*time.Millisecond
	restless := follow(t, dir, o)
	stop, stopped := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-stopped }()
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				_ = os.WriteFile(path, []byte(strings.Repeat("x", i%90)), 0o644)
			}
		}
	}()
	select {
	case <-restless:
	case <-time.After(longest):
		t.Error("a restless file is never told")
	}
}

// TestFollowAgain: what could not be taken is told again.
func TestFollowAgain(t *testing.T) {
	dir := t.TempDir()
	d := New(dir, options)
	_, _ = d.Read()
	write(t, filepath.Join(dir, "a.yaml"), "1")
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	calls := 0
	d.Follow(ctx, func([]File, error) bool {
		if calls++; calls == 3 {
			cancel()
		}
		return calls > 2
	})
	if calls != 3 {
		t.Errorf("told %d times", calls)
	}
}
