package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/internal/confdir"
	"github.com/sluice-net/sluice/observe/export"
)

// exportConfig are the settings of exports.
type exportConfig struct{ dir string }

func (c *exportConfig) flags(f *pflag.FlagSet) {
	f.StringVar(&c.dir, "export-dir", "/etc/sluice/export.d", "directory of files (*.yaml, *.yml) that say where flows are sent, followed while the daemon runs; empty: none")
}

func (c *exportConfig) check() error {
	if c.dir != "" && !filepath.IsAbs(c.dir) {
		return fmt.Errorf("export-dir %q: use an absolute path, or an empty one for no directory", c.dir)
	}
	return nil
}

// open returns the directory, nil if there is to be none.
func (c *exportConfig) open() export.Dir {
	if c.dir == "" {
		return nil
	}
	return confdir.New(c.dir, confdir.Options{Extensions: []string{".yaml", ".yml"}, MaxBytes: export.MaxDocumentBytes})
}
