package disk

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"reflect"
	"time"
	"unsafe"

	"github.com/klauspost/compress/zstd"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

const (
	// blockFlows is how many flows a block has at most.
	blockFlows = 1024
	// blockHeader is the size of what stands before a block's data, bytes.
	blockHeader = 44
	// mostBlock bounds a block's data as it is in the file, and mostPlain when it is decompressed.
	mostBlock = 16 << 20
	mostPlain = 64 << 20
	// recordSize is the size of a kernel's record.
	recordSize = int(unsafe.Sizeof(abi.Event{}))
)

// errDamaged is the error of a block that is not as it was written.
var errDamaged = errors.New("damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// layout tells the records of versions of Sluice apart: a number for the fields of abi.Event, their places, and the
// byte order.
var layout = func() uint32 {
	h := fnv.New32a()
	t := reflect.TypeFor[abi.Event]()
	for i := range t.NumField() {
		f := t.Field(i)
		fmt.Fprintln(h, f.Name, f.Type, f.Offset)
	}
	h.Write(binary.NativeEndian.AppendUint16(nil, 1))
	return h.Sum32()
}()

// blockInfo is what stands before a block's data.
type blockInfo struct {
	length      uint32 // of the data
	crc         uint32 // of what follows
	first, last uint64 // numbers of flows
	count       uint32
	min, max    int64 // times of flows, Unix ns
}

// append writes the header before data, which it checksums.
func (b *blockInfo) append(buf, data []byte) []byte {
	b.length = uint32(len(data))
	start := len(buf)
	le := binary.LittleEndian
	buf = le.AppendUint32(buf, b.length)
	buf = le.AppendUint32(buf, 0)
	buf = le.AppendUint64(buf, b.first)
	buf = le.AppendUint64(buf, b.last)
	buf = le.AppendUint32(buf, b.count)
	buf = le.AppendUint64(buf, uint64(b.min))
	buf = le.AppendUint64(buf, uint64(b.max))
	buf = append(buf, data...)
	b.crc = crc32.Checksum(buf[start+8:], castagnoli)
	le.PutUint32(buf[start+4:], b.crc)
	return buf
}

// readBlockInfo reads a header, and refuses what cannot be one.
func readBlockInfo(buf []byte) (b blockInfo, err error) {
	le := binary.LittleEndian
	b = blockInfo{length: le.Uint32(buf), crc: le.Uint32(buf[4:]), first: le.Uint64(buf[8:]), last: le.Uint64(buf[16:]),
		count: le.Uint32(buf[24:]), min: int64(le.Uint64(buf[28:])), max: int64(le.Uint64(buf[36:]))}
	if b.length == 0 || b.length > mostBlock || b.count == 0 || b.count > blockFlows || b.last < b.first ||
		b.last-b.first < uint64(b.count)-1 || b.min > b.max {
		return b, fmt.Errorf("%w: no header of a block", errDamaged)
	}
	return b, nil
}

// names are what the flows of a block have in common. They are written as JSON, whose fields may come and go between
// versions.
type names struct {
	Parties []*observe.Party `json:",omitempty"`
	Rules   []*observe.Rule  `json:",omitempty"`
	Domains [][]string       `json:",omitempty"`
	Lost    []*api.Lost      `json:",omitempty"`
}

// packer makes blocks of flows.
type packer struct {
	zstd    *zstd.Encoder
	names   names
	parties map[*observe.Party]uint64
	rules   map[*observe.Rule]uint64
	domains map[*string]uint64 // by the first name: slices of domains are shared
	flows   []byte
	plain   []byte
}

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	return &packer{zstd: enc}, err
}

// pack returns the block of some flows, header and all.
func (p *packer) pack(flows []*observe.Flow) ([]byte, blockInfo, error) {
	p.names, p.flows = names{}, p.flows[:0]
	p.parties, p.rules, p.domains = map[*observe.Party]uint64{}, map[*observe.Rule]uint64{}, map[*string]uint64{}
	info := blockInfo{first: flows[0].Seq, last: flows[len(flows)-1].Seq, count: uint32(len(flows)), min: flows[0].Time.UnixNano()}
	info.max = info.min
	seq := info.first
	for _, f := range flows {
		at := f.Time.UnixNano()
		info.min, info.max = min(info.min, at), max(info.max, at)
		p.flows = binary.AppendUvarint(p.flows, f.Seq-seq)
		p.flows = binary.AppendVarint(p.flows, at)
		p.flow(f)
		seq = f.Seq
	}
	text, err := json.Marshal(p.names)
	if err != nil {
		return nil, info, fmt.Errorf("encode names of flows: %w", err)
	}
	p.plain = binary.AppendUvarint(p.plain[:0], uint64(len(text)))
	p.plain = append(append(p.plain, text...), p.flows...)
	return info.append(nil, p.zstd.EncodeAll(p.plain, nil)), info, nil
}

// flow writes what is of a flow beside its number and time: the indices of its names, from 1, and the record.
func (p *packer) flow(f *observe.Flow) {
	for _, index := range []uint64{
		indexOf(p.parties, &p.names.Parties, f.Source), indexOf(p.parties, &p.names.Parties, f.Destination),
		indexOf(p.parties, &p.names.Parties, f.Endpoint), indexOf(p.rules, &p.names.Rules, f.Rule),
		p.domainsOf(f.SourceNames), p.domainsOf(f.DestinationNames), p.lost(f.Lost), uint64(f.Published),
	} {
		p.flows = binary.AppendUvarint(p.flows, index)
	}
	p.flows = append(p.flows, unsafe.Slice((*byte)(unsafe.Pointer(&f.Kernel)), recordSize)...)
}

// indexOf returns the place of what flows share, from 1; 0: nil.
func indexOf[T any](known map[*T]uint64, list *[]*T, p *T) uint64 {
	if p == nil {
		return 0
	}
	i, ok := known[p]
	if !ok {
		*list = append(*list, p)
		i = uint64(len(*list))
		known[p] = i
	}
	return i
}

func (p *packer) domainsOf(list []string) uint64 {
	if len(list) == 0 {
		return 0
	}
	i, ok := p.domains[&list[0]]
	if !ok || len(p.names.Domains[i-1]) != len(list) {
		p.names.Domains = append(p.names.Domains, list)
		i = uint64(len(p.names.Domains))
		p.domains[&list[0]] = i
	}
	return i
}

func (p *packer) lost(l *api.Lost) uint64 {
	if l == nil {
		return 0
	}
	p.names.Lost = append(p.names.Lost, l)
	return uint64(len(p.names.Lost))
}

// unpacker reads blocks.
type unpacker struct {
	zstd  *zstd.Decoder
	plain []byte
}

func newUnpacker() (*unpacker, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(mostPlain))
	return &unpacker{zstd: dec}, err
}

func (u *unpacker) close() { u.zstd.Close() }

// unpack returns the flows of a block, which buf is with its header.
func (u *unpacker) unpack(info blockInfo, buf []byte) ([]*observe.Flow, error) {
	if len(buf) != blockHeader+int(info.length) || crc32.Checksum(buf[8:], castagnoli) != info.crc {
		return nil, fmt.Errorf("%w: checksum", errDamaged)
	}
	var err error
	if u.plain, err = u.zstd.DecodeAll(buf[blockHeader:], u.plain[:0]); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	r := fieldReader{rest: u.plain}
	var n names
	if err := json.Unmarshal(r.bytes(r.uvarint()), &n); err != nil {
		return nil, fmt.Errorf("%w: names: %w", errDamaged, err)
	}
	flows := make([]observe.Flow, info.count)
	all := make([]*observe.Flow, info.count)
	seq := info.first
	for i := range flows {
		f := &flows[i]
		seq += r.uvarint()
		f.Seq, f.Time = seq, time.Unix(0, r.varint())
		n.give(&r, f)
		if r.bad || seq > info.last {
			return nil, fmt.Errorf("%w: flow %d of %d", errDamaged, i+1, info.count)
		}
		all[i] = f
	}
	return all, nil
}

// nobody is the party of ends of which nothing was known.
var nobody = &observe.Party{}

// give reads what packer.flow wrote.
func (n *names) give(r *fieldReader, f *observe.Flow) {
	f.Source, f.Destination = pick(r, n.Parties), pick(r, n.Parties)
	f.Endpoint, f.Rule = pick(r, n.Parties), pick(r, n.Rules)
	if f.Source == nil {
		f.Source = nobody
	}
	if f.Destination == nil {
		f.Destination = nobody
	}
	for _, to := range []*[]string{&f.SourceNames, &f.DestinationNames} {
		if i := r.uvarint(); i > 0 && i <= uint64(len(n.Domains)) {
			*to = n.Domains[i-1]
		}
	}
	f.Lost = pick(r, n.Lost)
	f.Published = uint16(r.uvarint())
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&f.Kernel)), recordSize), r.bytes(uint64(recordSize)))
	if f.Kernel.Type >= abi.EventTypes || (f.Kernel.Type == 0) != (f.Lost != nil) || f.Kernel.Point > abi.PointSocket {
		r.bad = true
	}
}

// pick returns what has the next index, nil for 0.
func pick[T any](r *fieldReader, list []*T) *T {
	i := r.uvarint()
	if i > uint64(len(list)) {
		r.bad = true
	}
	if i == 0 || r.bad {
		return nil
	}
	return list[i-1]
}

// fieldReader reads numbers and bytes; after what is not there it is bad, and reads zeros.
type fieldReader struct {
	rest []byte
	bad  bool
}

func (r *fieldReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	return v
}

func (r *fieldReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.skip(n)
	return v
}

func (r *fieldReader) skip(n int) {
	if n <= 0 || r.bad {
		r.bad, r.rest = true, nil
		return
	}
	r.rest = r.rest[n:]
}

func (r *fieldReader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}
