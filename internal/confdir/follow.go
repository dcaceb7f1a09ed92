package confdir

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Follow calls changed with what Read returns whenever that may have changed since the last Read or call, until the
// context ends. A change that changed does not take (false) is told again after a while.
func (d *Dir) Follow(ctx context.Context, changed func([]File, error) (taken bool)) {
	f := &follower{Dir: d, changed: changed}
	// Without notifications (a limit of inotify) the looks find everything, later.
	if w, err := fsnotify.NewWatcher(); err == nil {
		defer w.Close()
		f.watcher = w
	}
	f.run(ctx)
}

// follower is one Follow.
type follower struct {
	*Dir
	changed func([]File, error) bool
	watcher *fsnotify.Watcher

	pending signature // a change that has to hold still
	since   time.Time // of the first of its kind; zero: there is none
}

func (f *follower) run(ctx context.Context) {
	var events chan fsnotify.Event
	var errs chan error
	if f.watcher != nil {
		events, errs = f.watcher.Events, f.watcher.Errors
	}
	next := time.NewTimer(0)
	defer next.Stop()
	soon := false // next is due after a notification already
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			f.watch()
			wait := f.step()
			soon = wait < f.options.Poll
			next.Reset(wait)
			continue
		case <-events:
		case <-errs: // some were lost
		}
		if !soon {
			soon = true
			next.Reset(f.options.Settle / 4)
		}
	}
}

// step looks, and tells a change that has held still. It returns when to look again.
func (f *follower) step() time.Duration {
	now := f.look()
	if now == f.seen {
		f.since = time.Time{}
		return f.options.Poll
	}
	patient := f.since.IsZero() || time.Since(f.since) < f.options.Patience
	if f.since.IsZero() {
		f.since = time.Now()
	}
	if now != f.pending && patient {
		f.pending = now
		return f.options.Settle
	}
	files, err := f.read()
	if f.look() != now && patient { // it changed while it was read
		f.pending = ""
		return f.options.Settle
	}
	f.pending, f.since = "", time.Time{}
	if f.changed(files, err) {
		f.seen = now
	}
	return f.options.Poll
}

// watch asks for notifications of every directory that matters: this one, the one that it is in, and those where the
// targets of links are. A directory that cannot be watched is found by looking.
func (f *follower) watch() {
	if f.watcher == nil {
		return
	}
	want := f.directories()
	have := f.watcher.WatchList()
	for _, dir := range have {
		if !slices.Contains(want, dir) {
			_ = f.watcher.Remove(dir)
		}
	}
	for _, dir := range want {
		if !slices.Contains(have, dir) {
			_ = f.watcher.Add(dir)
		}
	}
}

func (f *follower) directories() []string {
	var all []string
	add := func(dir string) {
		if real, err := filepath.EvalSymlinks(dir); err == nil && !slices.Contains(all, real) {
			all = append(all, real)
		}
	}
	add(f.path)
	add(filepath.Dir(f.path))
	names, _ := f.names()
	for _, name := range names {
		path := filepath.Join(f.path, name)
		if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			add(filepath.Dir(real))
		}
	}
	return all
}

// inode tells files apart that look alike.
func inode(info fs.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d:%d", s.Dev, s.Ino, s.Ctim.Nano())
	}
	return ""
}
