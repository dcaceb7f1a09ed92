package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/store"
	"github.com/sluice-net/sluice/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		path := filepath.Join(t.TempDir(), "state", "test.db")
		return func() store.Store {
			s, err := Open(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}

// filled makes a store with n entries and closes it.
func filled(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, path)
	var ops []store.Op
	for i := range n {
		ops = append(ops, store.Put(fmt.Sprintf("lease/%05d", i), bytes.Repeat([]byte{byte(i)}, 60)))
	}
	if err := errors.Join(s.Apply(t.Context(), ops...), s.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestOpenMakesTheFileInOneStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "test.db")
	mustOpen(t, path)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("directory holds %v (%v), want the file alone", entries, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	mustOpen(t, path)
	_, err := Open(path, Options{LockTimeout: 10 * time.Millisecond})
	if !errors.Is(err, store.ErrLocked) {
		t.Fatalf("second Open: %v, want ErrLocked", err)
	}
	for _, want := range []string{path, fmt.Sprintf("process %d (", os.Getpid()), "--state-dir"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not contain %q", err, want)
		}
	}
}

func TestLockPID(t *testing.T) {
	const locks = `1: POSIX  ADVISORY  READ 11 00:1a:77 0 EOF
2: FLOCK  ADVISORY  WRITE 12 00:1a:777 0 EOF
2: -> FLOCK  ADVISORY  WRITE 14 00:1a:77 0 EOF
3: FLOCK  ADVISORY  WRITE 13 00:1a:77 0 EOF
`
	for inode, want := range map[uint64]int{77: 13, 777: 12, 7: 0} {
		if got := lockPID([]byte(locks), inode); got != want {
			t.Errorf("lockPID(%d) = %d, want %d", inode, got, want)
		}
	}
}

func TestDamagedFileIsRefusedAndKept(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"empty":              func(b []byte) []byte { return nil },
		"one byte":           func(b []byte) []byte { return b[:1] },
		"one page":           func(b []byte) []byte { return b[:4096] },
		"roots only":         func(b []byte) []byte { return b[:2*4096] },
		"half":               func(b []byte) []byte { return b[:len(b)/2] },
		"both roots changed": func(b []byte) []byte { b[40] ^= 1; b[4096+40] ^= 1; return b },
		"zeros":              func(b []byte) []byte { return make([]byte, len(b)) },
		"text":               func(b []byte) []byte { return bytes.Repeat([]byte("not a database\n"), 4096) },
		"a value changed": func(b []byte) []byte {
			at := bytes.Index(b, bytes.Repeat([]byte{9}, 60))
			b[at] ^= 1
			return b
		},
		"pages zeroed but for the roots": func(b []byte) []byte {
			clear(b[2*4096:])
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t, 2000)
			broken := damage(read(t, path))
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first attempt must not have repaired, emptied or locked it
				s, err := Open(path, Options{LockTimeout: 50 * time.Millisecond})
				if !errors.Is(err, store.ErrCorrupt) {
					if err == nil {
						s.Close()
					}
					t.Fatalf("Open: %v, want ErrCorrupt", err)
				}
				if !strings.Contains(err.Error(), "mv "+path) {
					t.Errorf("error %q names no remedy", err)
				}
			}
			if !bytes.Equal(read(t, path), broken) {
				t.Error("the file was changed")
			}
		})
	}
}

// Whatever byte is damaged, Open never panics, and what it accepts reads as written.
func TestRandomDamage(t *testing.T) {
	path := filled(t, 300)
	good := read(t, path)
	want := readAll(t, path)
	random := rand.New(rand.NewPCG(3, 4))
	refused := 0
	for range 150 {
		broken := bytes.Clone(good)
		for range 1 + random.IntN(8) {
			broken[random.IntN(len(broken))] ^= byte(1 + random.IntN(255))
		}
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err != nil {
			refused++
			continue
		}
		entries, err := s.List(t.Context(), "")
		s.Close()
		if err != nil {
			continue
		}
		// One root page is the state before the last Apply: that is how bbolt survives a torn write.
		if len(entries) != 0 && len(entries) != len(want) {
			t.Fatalf("%d entries are left of %d", len(entries), len(want))
		}
		for _, e := range entries {
			if want[e.Key] != string(e.Value) {
				t.Fatalf("%s reads %x, want %x", e.Key, e.Value, want[e.Key])
			}
		}
	}
	if refused == 0 {
		t.Error("no damage was ever noticed")
	}
}

func readAll(t *testing.T, path string) map[string]string {
	t.Helper()
	s := mustOpen(t, path)
	entries, err := s.List(t.Context(), "")
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		all[e.Key] = string(e.Value)
	}
	return all
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filled(t, 1)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keySchema, encodeUint(Schema+1)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, store.ErrSchema) {
		t.Errorf("Open: %v, want ErrSchema", err)
	}
}

func TestForeignFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir, Options{}); err == nil || errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Open of a directory: %v", err)
	}
	path := filepath.Join(dir, "other.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err := Open(path, Options{}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Open of another program's database: %v, want ErrCorrupt", err)
	}
}

// A file that is cut while it is open must not take the daemon down.
func TestTruncatedWhileOpen(t *testing.T) {
	path := filled(t, 5000)
	s := mustOpen(t, path)
	if err := os.Truncate(path, 3*4096); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(t.Context(), ""); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("List: %v, want ErrCorrupt", err)
	}
	if err := s.Apply(t.Context(), store.Put("lease/04000", []byte("x"))); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Apply: %v, want ErrCorrupt", err)
	}
}

func TestPrivilegedFullDisk(t *testing.T) {
	testutil.Privileged(t)
	dir := t.TempDir()
	if err := unix.Mount("sluice-test", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "test.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	model := map[string]string{}
	full := 0
	for i := 0; full < 5; i++ {
		if i > 1000 {
			t.Fatal("the disk never filled")
		}
		key, value := fmt.Sprintf("k/%d", i), strings.Repeat("v", 3000)
		err := s.Apply(t.Context(), store.Put(key, []byte(value)), store.Put("last", []byte(key)))
		if errors.Is(err, unix.ENOSPC) {
			full++
			continue
		}
		if err != nil {
			t.Fatalf("Apply on a full disk: %v, want ENOSPC", err)
		}
		model[key], model["last"] = value, key
	}
	compare := func() {
		t.Helper()
		entries, err := s.List(t.Context(), "")
		if err != nil || len(entries) != len(model) {
			t.Fatalf("%d entries, want %d (%v)", len(entries), len(model), err)
		}
		for _, e := range entries {
			if model[e.Key] != string(e.Value) {
				t.Errorf("%s is wrong", e.Key)
			}
		}
	}
	compare()
	s.Close()
	if s, err = Open(path, Options{}); err != nil {
		t.Fatalf("Open on a full disk: %v", err)
	}
	compare()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "second.db")
	if _, err := Open(other, Options{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("making a second store: %v, want ENOSPC", err)
	}
	if left, _ := filepath.Glob(other + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A writer that is killed at any moment leaves each of its Applies whole or absent, and none that it saw succeed lost.
func TestKilledWriter(t *testing.T) {
	if path := os.Getenv("SLUICE_TEST_WRITER"); path != "" {
		writeForever(t, path)
	}
	path := filepath.Join(t.TempDir(), "test.db")
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWriter$")
		cmd.Env = append(os.Environ(), "SLUICE_TEST_WRITER="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		seen := make([]byte, 20+10*round)
		n, err := out.Read(seen)
		for n < len(seen) && err == nil {
			var m int
			m, err = out.Read(seen[n:])
			n += m
		}
		cmd.Process.Kill()
		cmd.Wait()
		all := readAll(t, path)
		if all["a"] != all["b"] {
			t.Fatalf("half an Apply: a=%s b=%s", all["a"], all["b"])
		}
		if len(all["a"]) < n {
			t.Fatalf("%d Applies were acknowledged, %d are there", n, len(all["a"]))
		}
	}
}

// writeForever grows a and b by a byte in each Apply and then writes a dot.
func writeForever(t *testing.T, path string) {
	s, err := Open(path, Options{LockTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := s.Get(t.Context(), "a")
	for {
		e.Value = append(e.Value, '.')
		if err := s.Apply(t.Context(), store.Put("a", e.Value), store.Put("b", e.Value)); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString(".")
	}
}
