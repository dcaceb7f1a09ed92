package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/policy"
)

// observeConfig are the settings of what is told of packets, and of where it is kept.
type observeConfig struct {
	level     string
	memory    byteSize
	store     string
	retention time.Duration
	storeSize byteSize
}

func (c *observeConfig) flags(f *pflag.FlagSet) {
	c.memory, c.storeSize = observe.DefaultMemory, 256<<20
	f.StringVar(&c.level, "observe", "flows", "what is told of packets of containers of which neither label nor network option sluice.observe says it: none, drops, flows or packets")
	f.Var(&c.memory, "flow-memory", fmt.Sprintf("memory for the newest flows; 4MiB hold %d", observe.FlowsIn(4<<20)))
	f.StringVar(&c.store, "flow-store", "", "directory where flows are kept over restarts, for example /var/lib/sluice/flows; empty: nowhere")
	f.DurationVar(&c.retention, "flow-retention", 24*time.Hour, "how long flows are kept in flow-store")
	f.Var(&c.storeSize, "flow-store-size", "how much of its disk flow-store takes; the oldest flows go first")
}

func (c *observeConfig) check() error {
	if _, err := policy.ParseLevel(c.level); err != nil {
		return fmt.Errorf("observe %q: use none, drops, flows or packets", c.level)
	}
	const least, most = 1 << 20, 1 << 34
	switch {
	case c.memory < least || c.memory > most:
		return fmt.Errorf("flow-memory %s: use 1MiB to 16GiB", &c.memory)
	case c.store != "" && !filepath.IsAbs(c.store):
		return fmt.Errorf("flow-store %q: use an absolute path, or an empty one for no directory", c.store)
	case c.retention < time.Minute:
		return fmt.Errorf("flow-retention %s: use a minute or more", c.retention)
	case c.storeSize < 8*least:
		return fmt.Errorf("flow-store-size %s: use 8MiB or more", &c.storeSize)
	}
	return nil
}

// defaultLevel is the checked level.
func (c *observeConfig) defaultLevel() policy.Level {
	level, _ := policy.ParseLevel(c.level)
	return level
}

// byteSize is a number of bytes, for people: 8MiB. It implements pflag.Value.
type byteSize int64

// String writes it in binary units.
func (b *byteSize) String() string {
	return units.CustomSize("%.4g%s", float64(*b), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB"})
}

// Set reads it; units are binary, with or without the letter i.
func (b *byteSize) Set(s string) error {
	n, err := units.RAMInBytes(s)
	if err != nil {
		return fmt.Errorf("%q is no size: write for example 64MiB", s)
	}
	*b = byteSize(n)
	return nil
}

// Type names it in the usage.
func (b *byteSize) Type() string { return "size" }
