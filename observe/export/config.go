package export

import (
	"errors"
	"fmt"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/export/file"
	"github.com/sluice-net/sluice/observe/export/otlp"
	"github.com/sluice-net/sluice/observe/export/sink"
	"github.com/sluice-net/sluice/observe/export/syslog"
	"github.com/sluice-net/sluice/observe/hubble/convert"
	"github.com/sluice-net/sluice/observe/hubble/filter"
)

// The types of exports.
const (
	TypeFile   = "file"
	TypeOTLP   = "otlp"
	TypeSyslog = "syslog"
)

// MaxDocumentBytes bounds a configuration file.
const MaxDocumentBytes = 1 << 20

// maxExports bounds how many exports one file has.
const maxExports = 100

// Config is one export, as its file says.
type Config struct {
	Name      string
	Type      string // TypeFile, TypeOTLP or TypeSyslog
	Include   []*flowpb.FlowFilter
	Exclude   []*flowpb.FlowFilter
	FieldMask []string
	Batch     Batch
	// Of these the one of the type is set.
	File   *file.Config
	OTLP   *otlp.Config
	Syslog *syslog.Config

	text string // the export as it is written, from which a change is told
}

// Batch says how flows are taken together.
type Batch struct {
	Size  int           `yaml:"size"`  // flows at most (512)
	Delay sink.Duration `yaml:"delay"` // a flow waits for others at most that long (200ms; 1s for otlp)
	Queue int           `yaml:"queue"` // flows that may wait, fewer than there are in memory; 0: all of those
}

const (
	defaultBatch = 512
	maxBatch     = 8192
	maxDelay     = time.Minute
)

func (b Batch) check() error {
	switch {
	case b.Size < 0 || b.Size > maxBatch:
		return fmt.Errorf("batch.size: must be from 1 to %d", maxBatch)
	case time.Duration(b.Delay) > maxDelay:
		return fmt.Errorf("batch.delay: must be at most %s", maxDelay)
	case b.Queue < 0:
		return errors.New("batch.queue: must not be negative")
	}
	return nil
}

func (c *Config) batchSize() int {
	if c.Batch.Size == 0 {
		return defaultBatch
	}
	return c.Batch.Size
}

func (c *Config) delay() time.Duration {
	if c.Type == TypeOTLP {
		return c.Batch.Delay.Or(time.Second)
	}
	return c.Batch.Delay.Or(200 * time.Millisecond)
}

// nameLength bounds names.
const nameLength = 63

func checkName(name string) error {
	fine := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)
	}
	switch {
	case name == "":
		return errors.New("name: an export needs one")
	case len(name) > nameLength || strings.IndexFunc(name, func(r rune) bool { return !fine(r) }) >= 0:
		return fmt.Errorf("name: %q is not up to %d letters, digits, dots, hyphens and underscores", name, nameLength)
	}
	return nil
}

// check refuses what cannot work.
func (c *Config) check() error {
	if err := c.Batch.check(); err != nil {
		return err
	}
	if _, err := c.mask(); err != nil {
		return fmt.Errorf("fieldMask: %w", err)
	}
	if _, err := filter.Compile(c.Include, nil, convert.New(convert.Options{})); err != nil {
		return fmt.Errorf("include: %w", err)
	}
	if _, err := filter.Compile(c.Exclude, nil, convert.New(convert.Options{})); err != nil {
		return fmt.Errorf("exclude: %w", err)
	}
	switch c.Type {
	case TypeFile:
		return c.File.Check()
	case TypeOTLP:
		return c.OTLP.Check()
	default:
		return c.Syslog.Check()
	}
}

func (c *Config) mask() (*convert.Mask, error) {
	return convert.NewMask(&fieldmaskpb.FieldMask{Paths: c.FieldMask})
}

// match returns the predicate of the flows that are exported. To syslog, where nobody says which, go those that were
// dropped or would have been: a SIEM is paid by the event. What a policy says of a packet that is dropped besides is not
// told twice.
func (c *Config) match(converter *convert.Converter) (func(*observe.Flow) bool, error) {
	chosen, err := filter.Compile(c.Include, c.Exclude, converter)
	if err != nil || c.Type != TypeSyslog || len(c.Include) > 0 {
		return chosen, err
	}
	return func(f *observe.Flow) bool {
		return (f.IsLost() || f.IsDrop() || f.Verdict() == api.VerdictAudit) && chosen(f)
	}, nil
}

// open makes the sink.
func (c *Config) open(node, version string) (sink.Sink, error) {
	switch c.Type {
	case TypeFile:
		return file.New(*c.File), nil
	case TypeOTLP:
		return otlp.New(*c.OTLP, node, version)
	default:
		return syslog.New(*c.Syslog, node, version), nil
	}
}
