package disk

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/observe"
)

// sample is a whole segment, with so many flows in each block.
func sample(t testing.TB, blocks, flows int) []byte {
	t.Helper()
	p, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	text := header()
	for b := range blocks {
		var all []*observe.Flow
		for i := range flows {
			f := flow(flows*b + i)
			f.Seq = uint64(flows*b + i + 1)
			all = append(all, f)
		}
		block, _, err := p.pack(all)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, block...)
	}
	return text
}

// FuzzSegment: no file breaks the reader, and whatever it takes for flows is in order and has both ends.
func FuzzSegment(f *testing.F) {
	whole := sample(f, 2, 20)
	f.Add(whole)
	f.Add(whole[:len(whole)-7])
	f.Add(whole[:segmentHeader])
	f.Add([]byte(magic))
	changed := bytes.Clone(whole)
	changed[segmentHeader+blockHeader+30] ^= 0x55
	f.Add(changed)
	log := logrus.New()
	log.SetOutput(io.Discard)
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(segmentPath(dir, 1), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{Dir: dir, Log: log, Size: 1 << 30, Retention: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var last uint64
		err = s.Walk(context.Background(), observe.Range{Before: 1 << 62}, func(f *observe.Flow) error {
			if f.Seq < last || f.Source == nil || f.Destination == nil || f.IsLost() != (f.Lost != nil) {
				t.Errorf("after %d comes %+v", last, f)
			}
			last = f.Seq
			_ = f.Event()
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// FuzzBlock: the data of a block that has the right checksum is no more trusted than any other.
func FuzzBlock(f *testing.F) {
	p, err := newPacker()
	if err != nil {
		f.Fatal(err)
	}
	u, err := newUnpacker()
	if err != nil {
		f.Fatal(err)
	}
	if _, _, err := p.pack([]*observe.Flow{flow(1), flow(2), flow(3)}); err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(p.plain), uint16(3))
	f.Add([]byte(`{}`), uint16(1))
	f.Fuzz(func(t *testing.T, plain []byte, count uint16) {
		info := blockInfo{first: 1, last: 1 << 20, count: uint32(count%blockFlows) + 1}
		buf := info.append(nil, p.zstd.EncodeAll(plain, nil))
		flows, err := u.unpack(info, buf)
		if err == nil && len(flows) != int(info.count) {
			t.Errorf("%d flows of %d", len(flows), info.count)
		}
	})
}

// BenchmarkWrite is what a flow costs the store's writer, and how large it is on the disk.
func BenchmarkWrite(b *testing.B) {
	p, err := newPacker()
	if err != nil {
		b.Fatal(err)
	}
	var flows []*observe.Flow
	for i := range blockFlows {
		f := flow(i)
		f.Seq = uint64(i + 1)
		flows = append(flows, f)
	}
	size := 0
	for b.Loop() {
		block, _, err := p.pack(flows)
		if err != nil {
			b.Fatal(err)
		}
		size = len(block)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*blockFlows), "ns/flow")
	b.ReportMetric(float64(size)/blockFlows, "bytes/flow")
}

// BenchmarkRead is what a question about the past costs for each flow that it looks at.
func BenchmarkRead(b *testing.B) {
	text := sample(b, 1, blockFlows)
	u, err := newUnpacker()
	if err != nil {
		b.Fatal(err)
	}
	info, err := readBlockInfo(text[segmentHeader:])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := u.unpack(info, text[segmentHeader:]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(info.count), "ns/flow")
}
