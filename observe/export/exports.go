package export

import (
	"context"
	"errors"
	"hash/fnv"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/confdir"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

const (
	// handover bounds how long a request under way may take when an export's settings change.
	handover = time.Second
	// farewell bounds how long an export that is removed may take to send what there is.
	farewell = 2 * time.Second
)

// Dir is the directory of configuration files.
type Dir interface {
	Path() string
	// Read returns the files, sorted by name; the error wraps fs.ErrNotExist where there is no directory.
	Read() ([]confdir.File, error)
	// Follow calls changed with what Read returns whenever that may have changed, until the context ends.
	Follow(ctx context.Context, changed func([]confdir.File, error) (taken bool))
}

var _ Dir = (*confdir.Dir)(nil)

// Options are what exports need.
type Options struct {
	Dir       Dir // nil: there are no exports
	Ring      *observe.Flows
	Converter *convert.Converter
	Version   string // of Sluice
	Log       logrus.FieldLogger
}

// Exports are the exports of a directory's files.
type Exports struct {
	Options

	changes sync.Mutex // one change at a time; it may wait for receivers
	mu      sync.Mutex // for all below; nobody waits who holds it
	files   map[string]*configFile
	running map[string]*export
	failure error // of the directory
	stats   Stats
	closed  bool
}

// configFile is what is known of a file.
type configFile struct {
	exports []Config // in force: of the newest version that was good
	problem error    // of the newest version
}

// Stats is what changed since the daemon runs, for metrics.
type Stats struct {
	Added, Updated, Removed uint64 // exports
	Hash                    uint64 // of what is in force; 0: nothing
	Applied                 time.Time
}

// New returns the exports of a directory. Load begins them.
func New(o Options) *Exports {
	return &Exports{Options: o, files: map[string]*configFile{}, running: map[string]*export{}}
}

// Load reads the directory and begins to export what comes from now on.
func (e *Exports) Load() {
	if e.Dir == nil {
		return
	}
	files, err := e.Dir.Read()
	e.take(files, err)
}

// Follow takes changes of the directory until the context ends.
func (e *Exports) Follow(ctx context.Context) {
	if e.Dir == nil {
		return
	}
	e.Dir.Follow(ctx, func(files []confdir.File, err error) bool {
		e.take(files, err)
		return true
	})
}

// Close ends all exports. They may take so long to send what is in memory.
func (e *Exports) Close(patience time.Duration) {
	e.changes.Lock()
	defer e.changes.Unlock()
	e.mu.Lock()
	e.closed = true
	running := slices.Collect(maps.Values(e.running))
	e.mu.Unlock()
	stopAll(running, patience)
}

// stopAll ends exports, which send what is in memory, all at a time.
func stopAll(all []*export, patience time.Duration) {
	var wait sync.WaitGroup
	for _, x := range all {
		wait.Go(func() { x.stop(true, patience) })
	}
	wait.Wait()
}

// take makes what was read of the directory the exports that run. A file is taken whole or not at all; what one that is
// refused had before goes on, as everything does if the directory cannot be read.
func (e *Exports) take(found []confdir.File, failure error) {
	e.changes.Lock()
	defer e.changes.Unlock()
	if e.closed {
		return
	}
	if failure != nil && (!errors.Is(failure, fs.ErrNotExist) || len(e.running) > 0) {
		if e.failure == nil || e.failure.Error() != failure.Error() {
			e.Log.WithError(failure).Warn("read export directory: exports go on as they are")
		}
		e.set(func() { e.failure = failure })
		return
	}
	files := e.read(found)
	e.set(func() { e.failure, e.files = nil, files })
	want := map[string]Config{}
	source := map[string]string{}
	for path, f := range files {
		for _, c := range f.exports {
			want[c.Name], source[c.Name] = c, path
		}
	}
	e.apply(want, source)
}

// set changes what others read.
func (e *Exports) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

// read reads files, given what is known of those that were there before.
func (e *Exports) read(found []confdir.File) map[string]*configFile {
	files := map[string]*configFile{}
	parsed := map[string][]Config{}
	for _, f := range found {
		path := filepath.Join(e.Dir.Path(), f.Name)
		file := &configFile{}
		files[path] = file
		if before := e.files[path]; before != nil {
			file.exports = before.exports
		}
		var err error
		if err = f.Err; err == nil {
			parsed[path], err = Parse(path, f.Text)
		}
		e.refuse(path, file, err)
		if err != nil {
			delete(parsed, path)
		}
	}
	// A name, or a file that is written, belongs to who had it first: files that are as they were come before others.
	taken := claims{}
	for _, changed := range []bool{false, true} {
		for _, path := range slices.Sorted(maps.Keys(files)) {
			file := files[path]
			some, good := parsed[path]
			if same := !good || slices.EqualFunc(some, file.exports, func(a, b Config) bool { return a.text == b.text }); same == changed {
				continue
			}
			if good && changed {
				if err := taken.check(path, some); err != nil {
					e.refuse(path, file, err)
				} else {
					file.exports = some
				}
			}
			if err := taken.check(path, file.exports); err != nil { // what it had was taken by nobody, or it has nothing
				e.refuse(path, file, err)
				file.exports = nil
			}
			taken.add(path, file.exports)
		}
	}
	return files
}

// refuse notes what is wrong with a file, and logs what is new.
func (e *Exports) refuse(path string, file *configFile, err error) {
	before := e.files[path]
	file.problem = err
	switch {
	case err != nil && (before == nil || before.problem == nil || before.problem.Error() != err.Error()):
		e.Log.WithError(err).WithField("in_force", len(file.exports)).Warn("export file is broken")
	case err == nil && before != nil && before.problem != nil:
		e.Log.WithField("file", path).Info("export file is in force again")
	}
}

// claims are the names and written files that are taken, and by which configuration files.
type claims map[string]string

func (c claims) check(path string, exports []Config) error {
	written := map[string]bool{}
	for _, x := range exports {
		if owner, ok := c["name "+x.Name]; ok {
			return Problem{File: path, Reason: "export " + x.Name + " stands in " + owner + " already: rename one of them"}
		}
		if x.File == nil {
			continue
		}
		owner, ok := c["file "+x.File.Path]
		if written[x.File.Path] {
			owner, ok = "this file", true
		}
		if ok {
			return Problem{File: path, Reason: "export " + x.Name + ": " + x.File.Path + " is written by an export of " + owner + " already"}
		}
		written[x.File.Path] = true
	}
	return nil
}

func (c claims) add(path string, exports []Config) {
	for _, x := range exports {
		c["name "+x.Name] = path
		if x.File != nil {
			c["file "+x.File.Path] = path
		}
	}
}

// apply makes the exports that run those that are wanted. Those that did not change are not touched.
func (e *Exports) apply(want map[string]Config, source map[string]string) {
	var removed []*export
	stats := e.stats
	running := map[string]*export{}
	for name, x := range e.running {
		if _, ok := want[name]; ok {
			running[name] = x
			continue
		}
		removed = append(removed, x)
		stats.Removed++
		x.log.Info("export is removed")
	}
	_, now := e.Ring.Bounds()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		c, before := want[name], running[name]
		if before != nil && before.config.text == c.text {
			e.set(func() { before.source = source[name] })
			continue
		}
		x, err := e.make(c, source[name])
		if err != nil {
			e.Log.WithError(err).WithField("export", name).Error("make export")
			continue
		}
		from := now
		if before == nil {
			stats.Added++
		} else {
			before.stop(false, handover)
			x.count, from = before.count, before.count.position
			stats.Updated++
		}
		x.start(from)
		running[name] = x
		x.log.WithField("target", x.sink.Target()).Info("export begins")
	}
	if stats != e.stats {
		stats.Applied, stats.Hash = time.Now(), hash(running)
	}
	e.set(func() { e.running, e.stats = running, stats })
	stopAll(removed, farewell)
}

// make makes an export of its settings.
func (e *Exports) make(c Config, source string) (*export, error) {
	match, err := c.match(e.Converter)
	if err != nil {
		return nil, err
	}
	mask, err := c.mask()
	if err != nil {
		return nil, err
	}
	node := strings.TrimPrefix(e.Converter.NodeName(), e.Converter.Cluster()+"/")
	s, err := c.open(node, e.Version)
	if err != nil {
		return nil, err
	}
	return &export{
		config: c, source: source, sink: s, match: match, mask: mask, converter: e.Converter, ring: e.Ring,
		log: e.Log.WithField("export", c.Name), count: &counts{state: api.ExportIdle},
	}, nil
}

func hash(running map[string]*export) uint64 {
	if len(running) == 0 {
		return 0
	}
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(running)) {
		_, _ = h.Write([]byte(running[name].config.text))
	}
	return h.Sum64()
}

// List shows the exports, by name.
func (e *Exports) List() []api.Export {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]api.Export, 0, len(e.running))
	for _, name := range slices.Sorted(maps.Keys(e.running)) {
		all = append(all, e.running[name].state())
	}
	return all
}

// Problems are why files are refused, and the directory's.
func (e *Exports) Problems() (all []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failure != nil {
		all = append(all, e.failure.Error())
	}
	for _, path := range slices.Sorted(maps.Keys(e.files)) {
		if err := e.files[path].problem; err != nil {
			all = append(all, err.Error())
		}
	}
	return all
}

// Stats tells what changed.
func (e *Exports) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}
