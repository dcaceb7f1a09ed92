package confdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// File is a file as it was found.
type File struct {
	Name string // without the directory
	Text []byte
	Err  error // why it could not be read; Text is then nil
}

// Options say what a Dir reads. Zero times mean the defaults.
type Options struct {
	Extensions []string      // of the files that count: ".yaml"; those whose names begin with a dot never do
	MaxBytes   int64         // a longer file has an Err
	Settle     time.Duration // how long a change must hold still (300 ms)
	Patience   time.Duration // after which a change counts that does not hold still (3 s)
	Poll       time.Duration // between looks without a notification (5 s)
}

// Dir is a directory of files. Its methods are not for concurrent use.
type Dir struct {
	path    string
	options Options
	seen    signature // what the newest answer was made from
}

// New returns the directory of a path, which need not exist.
func New(path string, o Options) *Dir {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&o.Settle, 300 * time.Millisecond}, {&o.Patience, 3 * time.Second}, {&o.Poll, 5 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	return &Dir{path: path, options: o}
}

// Path is the directory's path.
func (d *Dir) Path() string { return d.path }

// Read returns the files, sorted by name. The error, of the directory itself, wraps fs.ErrNotExist where there is none.
func (d *Dir) Read() ([]File, error) {
	d.seen = d.look()
	return d.read()
}

func (d *Dir) read() ([]File, error) {
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	files := make([]File, 0, len(names))
	for _, name := range names {
		text, err := d.readFile(filepath.Join(d.path, name))
		if errors.Is(err, fs.ErrNotExist) && !d.exists(name) {
			continue // it went meanwhile
		}
		files = append(files, File{Name: name, Text: text, Err: err})
	}
	return files, nil
}

// names lists the files that count, sorted. Directories do not.
func (d *Dir) names() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !slices.Contains(d.options.Extensions, filepath.Ext(e.Name())) {
			continue
		}
		if info, err := os.Stat(filepath.Join(d.path, e.Name())); err == nil && info.IsDir() {
			continue
		}
		names = append(names, e.Name())
	}
	return names, nil
}

// exists tells whether a name is in the directory, also as a link to nowhere.
func (d *Dir) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(d.path, name))
	return err == nil
}

func (d *Dir) readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if !info.Mode().IsRegular() { // a pipe would block
		return nil, fmt.Errorf("read file %s: it is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, d.options.MaxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read file: %w", err)
	case int64(len(text)) > d.options.MaxBytes:
		return nil, fmt.Errorf("read file %s: it is larger than %d bytes", path, d.options.MaxBytes)
	}
	return text, nil
}

// signature changes whenever the files may have: names, and what stat tells of what is behind them.
type signature string

func (d *Dir) look() signature {
	names, err := d.names()
	if err != nil {
		return signature(err.Error())
	}
	var b strings.Builder
	for _, name := range names {
		info, err := os.Stat(filepath.Join(d.path, name))
		if err != nil {
			fmt.Fprintf(&b, "%q %v\n", name, err)
			continue
		}
		fmt.Fprintf(&b, "%q %d %d %s %s\n", name, info.Size(), info.ModTime().UnixNano(), info.Mode(), inode(info))
	}
	return signature(b.String())
}
