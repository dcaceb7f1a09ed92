package capture

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/sluice-net/sluice/api"
)

// Options are what a file says of itself.
type Options struct {
	Version    string // of the program
	Filter     string // in tcpdump's language
	SnapLength uint32 // bytes
	Started    time.Time
}

// File writes pcapng (IETF draft-ietf-opsawg-pcapng).
type File struct {
	o          Options
	out        io.Writer
	w          *pcapgo.NgWriter // nil before the first interface
	interfaces map[place]*numbered
	lost       map[string]uint64 // by container
}

// place is where packets are seen.
type place struct{ container, network, point string }

// numbered is an interface of the file.
type numbered struct {
	id      int
	packets uint64
}

// NewFile returns a writer. Its beginning is written with the first interface.
func NewFile(out io.Writer, o Options) *File {
	return &File{o: o, out: out, interfaces: map[place]*numbered{}, lost: map[string]uint64{}}
}

// Write writes a packet, or notes what was lost.
func (f *File) Write(c api.Captured) error {
	if c.Verdict == "" {
		f.lost[c.Container] = max(f.lost[c.Container], c.Lost)
		return nil
	}
	i, err := f.open(place{c.Container, c.Network, c.Point})
	if err != nil {
		return err
	}
	i.packets++
	info := gopacket.CaptureInfo{Timestamp: c.Time, CaptureLength: len(c.Frame), Length: c.Length, InterfaceIndex: i.id}
	direction := pcapgo.NgEpbFlagDirectionOutbound
	if c.Point == api.Ingress {
		direction = pcapgo.NgEpbFlagDirectionInbound
	}
	return f.w.WritePacketWithOptions(info, c.Frame, pcapgo.NgPacketOptions{
		Comments: []string{Fate(c)}, Flags: &pcapgo.NgEpbFlags{Direction: direction},
	})
}

// open returns the interface of a place, and begins it with its first packet.
func (f *File) open(p place) (*numbered, error) {
	if i := f.interfaces[p]; i != nil {
		return i, nil
	}
	about := pcapgo.NgInterface{Name: p.container + " " + p.point, Description: describe(p), Filter: f.o.Filter, OS: "Linux",
		LinkType: layers.LinkTypeEthernet, SnapLength: f.o.SnapLength}
	i := &numbered{}
	var err error
	if f.w == nil {
		f.w, err = pcapgo.NewNgWriterInterface(f.out, about, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
			OS: "Linux", Application: "sluice " + f.o.Version, Comment: "packets as Sluice's BPF programs saw them"}})
	} else {
		i.id, err = f.w.AddInterface(about)
	}
	if err != nil {
		return nil, fmt.Errorf("write pcapng: %w", err)
	}
	f.interfaces[p] = i
	return i, nil
}

func describe(p place) string {
	does := "what it sends"
	if p.point == api.Ingress {
		does = "what it is sent"
	}
	return fmt.Sprintf("container %s on network %s: %s", p.container, p.network, does)
}

// Flush writes what is held back.
func (f *File) Flush() error {
	if f.w == nil {
		return nil
	}
	return f.w.Flush()
}

// Close ends the file with the statistics of every interface. What a container lost stands at its first one: the kernel
// counts by container. A file without packets gets an interface of its own, so that it can be read.
func (f *File) Close(now time.Time) error {
	if f.w == nil {
		if _, err := f.open(place{container: "sluice", point: api.Egress}); err != nil {
			return err
		}
	}
	counted := map[string]bool{}
	places := slices.SortedFunc(maps.Keys(f.interfaces), func(a, b place) int { return f.interfaces[a].id - f.interfaces[b].id })
	for _, p := range places {
		i := f.interfaces[p]
		s := pcapgo.NgInterfaceStatistics{LastUpdate: now, StartTime: f.o.Started, EndTime: now, PacketsReceived: i.packets}
		if !counted[p.container] {
			s.PacketsDropped = f.lost[p.container]
		}
		counted[p.container] = true
		if err := f.w.WriteInterfaceStats(i.id, s); err != nil {
			return fmt.Errorf("write pcapng: %w", err)
		}
	}
	return f.w.Flush()
}

// Lost returns how many packets are missing.
func (f *File) Lost() (n uint64) {
	for _, lost := range f.lost {
		n += lost
	}
	return n
}

// Fate says what became of a packet: "dropped: policy denied by allow-web ingress[0]".
func Fate(c api.Captured) string {
	if c.Verdict != api.VerdictDropped {
		return c.Verdict
	}
	text := c.Verdict + ": " + c.Reason
	switch {
	case c.Policy != "":
		text += " by " + c.Policy
		if c.Rule != "" {
			text += " " + c.Rule
		}
	case c.Rule != "":
		text += " by " + c.Rule
	}
	return text
}
