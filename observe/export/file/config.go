package file

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sluice-net/sluice/observe/export/sink"
)

// Config are the settings of a file.
type Config struct {
	Path   string `yaml:"path"`  // absolute; missing directories are made
	Mode   string `yaml:"mode"`  // permissions of new files, octal (0600)
	Group  string `yaml:"group"` // who owns new files, by name or number; empty: the daemon's
	Rotate Rotate `yaml:"rotate"`
}

// Rotate says when a file is moved aside, and what of the moved ones stays.
type Rotate struct {
	Size     sink.Bytes    `yaml:"size"`     // before it grows beyond this (100MiB)
	Every    sink.Duration `yaml:"every"`    // at the latest after this time; 0: by size only
	Keep     *int          `yaml:"keep"`     // that many at most (7); 0: all
	Age      sink.Duration `yaml:"age"`      // none older than this, whole days; 0: of any age
	Compress bool          `yaml:"compress"` // by gzip
}

const (
	defaultSize = 100 << 20
	defaultKeep = 7
	day         = 24 * time.Hour
	// smallest is the least size of a rotated file: one line always fits.
	smallest = 64 << 10
)

// Check refuses settings that cannot work.
func (c *Config) Check() error {
	if !filepath.IsAbs(c.Path) {
		return fmt.Errorf("path: %q is not an absolute path", c.Path)
	}
	if filepath.Clean(c.Path) != c.Path {
		return fmt.Errorf("path: write %s", filepath.Clean(c.Path))
	}
	if _, err := c.mode(); err != nil {
		return err
	}
	if _, err := c.gid(); err != nil {
		return err
	}
	r := c.Rotate
	switch {
	case r.Size != 0 && r.Size < smallest:
		return fmt.Errorf("rotate.size: must be at least 64KiB")
	case r.Every != 0 && time.Duration(r.Every) < time.Second:
		return fmt.Errorf("rotate.every: must be at least 1s")
	case time.Duration(r.Age)%day != 0:
		return fmt.Errorf("rotate.age: must be whole days, such as 7d")
	case r.Keep != nil && *r.Keep < 0:
		return fmt.Errorf("rotate.keep: must not be negative")
	}
	return nil
}

func (c *Config) mode() (os.FileMode, error) {
	if c.Mode == "" {
		return 0o600, nil
	}
	m, err := strconv.ParseUint(c.Mode, 8, 32)
	if err != nil || m&^0o666 != 0 || m&0o200 == 0 {
		return 0, fmt.Errorf("mode: %q is not the mode of a file that its owner may write, such as 0640", c.Mode)
	}
	return os.FileMode(m), nil
}

// gid returns the number of the group, -1 for none.
func (c *Config) gid() (int, error) {
	if c.Group == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(c.Group, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(c.Group)
	if err != nil {
		return 0, fmt.Errorf("group: there is no group %q", c.Group)
	}
	return strconv.Atoi(g.Gid)
}

func (c *Config) size() int64 {
	if c.Rotate.Size == 0 {
		return defaultSize
	}
	return int64(c.Rotate.Size)
}

func (c *Config) keep() int {
	if c.Rotate.Keep == nil {
		return defaultKeep
	}
	return *c.Rotate.Keep
}
