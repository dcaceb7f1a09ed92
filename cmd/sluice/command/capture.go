package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/cmd/sluice/capture"
	"github.com/sluice-net/sluice/internal/pcapfilter"
)

// captureFlags are the flags of capture.
type captureFlags struct {
	file     string
	drops    bool
	snap     uint32
	count    int
	duration time.Duration
	also     []string
}

func (a *app) capture() *cobra.Command {
	var f captureFlags
	cmd := &cobra.Command{
		Use:   "capture CONTAINER [FILTER...] [flags]",
		Short: "Capture a container's packets as the BPF programs see them, drops included",
		Long: `Capture the packets of a container, a compose service or an endpoint, as its BPF programs see them: what
it sends as it sent it, what it is sent as it gets it, and what is dropped, with the reason and the
rule. -w writes a pcapng file for Wireshark and tcpdump, in which every packet has a comment that
says what became of it (in Wireshark: frame.comment contains "dropped"); without it, packets are
printed as lines.

The filter is in tcpdump's language: protocols (tcp, udp, icmp, icmp6, ip, ip6, arp), host, net, port,
portrange, greater and less, with src and dst, and, or, not, and parentheses. A host may be a container.

The programs capture until the command ends, whichever way; that costs speed, for that container only.
What came faster than it could be read is counted, at the end of the file, too.`,
		Example: `  sluice capture web
  sluice capture web tcp port 80
  sluice capture shop/db -w db.pcapng --duration 30s
  sluice capture web --drops-only --also db
  sluice capture web 'host db and not port 22' -w - | tcpdump -r -`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.complete(1, containerNames),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.capturePackets(cmd, args, &f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "write", "w", "", "write pcapng to this `file` (-: standard output)")
	flags.BoolVar(&f.drops, "drops-only", false, "only packets that are dropped")
	flags.Uint32Var(&f.snap, "snaplen", 0, "at most so many `bytes` of a packet (0: all)")
	flags.IntVarP(&f.count, "count", "c", 0, "end after so many packets (0: do not end)")
	flags.DurationVar(&f.duration, "duration", 0, "end after this time (0: do not end)")
	flags.StringSliceVar(&f.also, "also", nil, "`containers` to capture beside the first")
	_ = cmd.MarkFlagFilename("write", "pcapng")
	a.completeFlag(cmd, "also", containerNames)
	return cmd
}

// packets are where a capture goes.
type packets interface {
	Write(c api.Captured) error
	Flush() error
	Close(now time.Time) error
	Lost() uint64
}

// capturePackets captures until it is interrupted or has enough.
func (a *app) capturePackets(cmd *cobra.Command, args []string, f *captureFlags) error {
	filter := strings.Join(args[1:], " ")
	r := api.CaptureRequest{Refs: append([]string{args[0]}, f.also...), Filter: filter, DropsOnly: f.drops, SnapLength: f.snap}
	if err := f.check(filter); err != nil {
		return usageError{err}
	}
	if f.file == "-" && a.terminal(a.Out) {
		return usageError{errors.New("-w -: the terminal cannot show pcapng; redirect it, or leave out -w")}
	}
	ctx := cmd.Context()
	if f.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.duration)
		defer cancel()
	}
	var out packets // nil before the programs capture: a file is touched only then
	seen := 0
	err := a.client().Capture(ctx, r, func(c api.Captured) (err error) {
		if out == nil {
			if out, err = a.capturedTo(f, filter); err != nil {
				return err
			}
			fmt.Fprintf(a.Err, "sluice: capturing %s; interrupt to end\n", strings.Join(r.Refs, ", "))
		}
		if err := out.Write(c); err != nil {
			return err
		}
		if c.Verdict != "" {
			seen++
		}
		if f.count > 0 && seen >= f.count {
			return errEnough
		}
		if f.file == "-" {
			return out.Flush() // whoever reads wants to see it now
		}
		return nil
	})
	if errors.Is(err, errEnough) || ctx.Err() != nil {
		err = nil
	}
	if out == nil {
		return err
	}
	err = errors.Join(err, out.Close(a.Now()))
	fmt.Fprintf(a.Err, "sluice: %d packets captured, %d lost\n", seen, out.Lost())
	return err
}

// check refuses what no daemon would take, before the file is opened.
func (f *captureFlags) check(filter string) error {
	if f.snap != 0 && (f.snap < api.MinSnapLength || f.snap > api.MaxSnapLength) {
		return fmt.Errorf("--snaplen %d: use %d to %d", f.snap, api.MinSnapLength, api.MaxSnapLength)
	}
	if f.count < 0 || f.duration < 0 {
		return errors.New("--count and --duration cannot be negative")
	}
	_, err := pcapfilter.Parse(filter, pcapfilter.Anybody)
	return err
}

// capturedTo opens what packets are written to.
func (a *app) capturedTo(f *captureFlags, filter string) (packets, error) {
	o := capture.Options{Version: a.Build.Version, Filter: filter, SnapLength: f.snap, Started: a.Now()}
	switch f.file {
	case "":
		return &capturedLines{out: a.Out}, nil
	case "-":
		return capturedFile{capture.NewFile(a.Out, o), nil}, nil
	}
	file, err := os.OpenFile(f.file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write packets: %w", err)
	}
	return capturedFile{capture.NewFile(file, o), file}, nil
}

// capturedFile closes the file that it writes, nil if that is the standard output.
type capturedFile struct {
	*capture.File
	file *os.File
}

// Close ends the file.
func (f capturedFile) Close(now time.Time) error {
	err := f.File.Close(now)
	if f.file != nil {
		err = errors.Join(err, f.file.Close())
	}
	return err
}

// capturedLines prints packets as lines.
type capturedLines struct {
	out  io.Writer
	lost map[string]uint64
}

// Write prints a packet, or that some were lost.
func (l *capturedLines) Write(c api.Captured) error {
	if c.Verdict == "" {
		if c.Lost == 0 {
			return nil
		}
		if l.lost == nil {
			l.lost = map[string]uint64{}
		}
		l.lost[c.Container] = c.Lost
	}
	_, err := fmt.Fprintln(l.out, oneLine(capture.Line(c)))
	return err
}

// Flush does nothing: every line is written at once.
func (l *capturedLines) Flush() error { return nil }

// Close does nothing.
func (l *capturedLines) Close(time.Time) error { return nil }

// Lost returns how many packets are missing.
func (l *capturedLines) Lost() (n uint64) {
	for _, lost := range l.lost {
		n += lost
	}
	return n
}
