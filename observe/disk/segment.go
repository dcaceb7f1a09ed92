package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-net/sluice/observe"
)

const (
	magic = "SLUICEFL"
	// format is the version of what a segment is made of; layout that of the kernel's records.
	format = 1
	// segmentHeader is the size of what stands before the blocks: magic, format, layout, checksum.
	segmentHeader = len(magic) + 12
	prefix        = "flows-"
	suffix        = ".seg"
)

// errForeign is the error of a segment that another version of Sluice wrote.
var errForeign = errors.New("written by another version of Sluice")

// segment is a file of flows. What it says of its blocks is guarded by Store.mu while it is written, and fixed then.
type segment struct {
	path    string
	number  uint64 // of its first flow, as its name says
	size    int64
	blocks  []placed
	foreign bool
	file    *os.File  // while it is written
	newest  time.Time // of its flows
	// age is how old its newest flow was by the wall clock when it was opened; opened is that moment by the kernel's.
	age    time.Duration
	opened time.Time
}

// placed is a block and where it is.
type placed struct {
	blockInfo
	at int64
}

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%020d%s", prefix, number, suffix))
}

// segmentNumber reads the number out of a file's name.
func segmentNumber(name string) (uint64, bool) {
	digits, isSegment := strings.CutPrefix(name, prefix)
	digits, hasSuffix := strings.CutSuffix(digits, suffix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, isSegment && hasSuffix && err == nil && len(digits) == 20
}

// header is what a segment begins with.
func header() []byte {
	h := []byte(magic)
	h = binary.LittleEndian.AppendUint32(h, format)
	h = binary.LittleEndian.AppendUint32(h, layout)
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

// checkHeader reads what a segment begins with.
func checkHeader(h []byte) error {
	le := binary.LittleEndian
	n := len(h) - 4
	switch {
	case string(h[:len(magic)]) != magic || le.Uint32(h[n:]) != crc32.Checksum(h[:n], castagnoli):
		return fmt.Errorf("%w: no segment of flows", errDamaged)
	case le.Uint32(h[8:]) != format:
		return fmt.Errorf("%w: format %d, this one reads %d", errForeign, le.Uint32(h[8:]), format)
	case le.Uint32(h[12:]) != layout:
		return fmt.Errorf("%w: its records have other fields", errForeign)
	}
	return nil
}

// scan reads the headers of a segment's blocks, up to the first that is not whole: torn is where that begins, 0 if all are.
// With check, checksums are read too.
func scan(file io.ReaderAt, size int64, check bool) (blocks []placed, torn int64, err error) {
	var h [segmentHeader]byte
	if _, err := file.ReadAt(h[:], 0); err != nil {
		return nil, 0, fmt.Errorf("%w: it ends within its header", errDamaged)
	}
	if err := checkHeader(h[:]); err != nil {
		return nil, 0, err
	}
	var next uint64
	for at := int64(segmentHeader); at < size; {
		b, err := scanBlock(file, at, size, check)
		if err != nil || b.first < next {
			return blocks, at, nil
		}
		blocks = append(blocks, placed{b, at})
		next = b.last + 1
		at += blockHeader + int64(b.length)
	}
	return blocks, 0, nil
}

func scanBlock(file io.ReaderAt, at, size int64, check bool) (blockInfo, error) {
	var h [blockHeader]byte
	if at+blockHeader > size {
		return blockInfo{}, errDamaged
	}
	if _, err := file.ReadAt(h[:], at); err != nil {
		return blockInfo{}, err
	}
	b, err := readBlockInfo(h[:])
	if err != nil || at+blockHeader+int64(b.length) > size {
		return b, errDamaged
	}
	if !check {
		return b, nil
	}
	buf, err := readBlock(file, placed{b, at})
	if err == nil && crc32.Checksum(buf[8:], castagnoli) != b.crc {
		err = errDamaged
	}
	return b, err
}

func readBlock(file io.ReaderAt, b placed) ([]byte, error) {
	buf := make([]byte, blockHeader+int(b.length))
	if _, err := file.ReadAt(buf, b.at); err != nil {
		return nil, fmt.Errorf("read block at %d: %w", b.at, err)
	}
	return buf, nil
}

// openSegment reads what a file has; cut: it may be torn, and is cut off there. A foreign one is returned with errForeign.
func openSegment(path string, number uint64, cut bool, now time.Time) (*segment, error) {
	mode := os.O_RDONLY
	if cut {
		mode = os.O_RDWR
	}
	file, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	s := &segment{path: path, number: number, size: info.Size(), newest: info.ModTime(), opened: now}
	var torn int64
	s.blocks, torn, err = scan(file, s.size, cut)
	s.foreign = errors.Is(err, errForeign)
	if len(s.blocks) > 0 {
		s.newest = time.Unix(0, slices.MaxFunc(s.blocks, func(a, b placed) int { return int(min(max(a.max-b.max, -1), 1)) }).max)
	}
	s.age = max(now.Round(0).Sub(s.newest.Round(0)), 0)
	if err == nil && torn > 0 {
		err = &tornError{s.size - torn}
		s.size = torn
		if cut {
			if e := file.Truncate(torn); e != nil {
				return s, fmt.Errorf("cut %s: %w", filepath.Base(path), e)
			}
		}
	}
	return s, err
}

// tornError says that the end of a segment was not whole.
type tornError struct{ bytes int64 }

// Error says how much of it.
func (e *tornError) Error() string {
	return fmt.Sprintf("its last %d bytes are not whole, as after a crash, and are left out", e.bytes)
}

// writing reports whether the segment is written.
func (s *segment) writing() bool { return s.file != nil }

// last returns the number of the last flow, 0 if there is none.
func (s *segment) last() uint64 {
	if len(s.blocks) == 0 {
		return 0
	}
	return s.blocks[len(s.blocks)-1].last
}

// about reports whether a block may have flows of a range.
func (b blockInfo) about(r observe.Range) bool {
	return b.last >= r.From && b.first < r.Before && (r.Since.IsZero() || !time.Unix(0, b.max).Before(r.Since)) &&
		(r.Until.IsZero() || !time.Unix(0, b.min).After(r.Until))
}
