package flows

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// mostLast bounds how many flows of a file are kept to find the last ones.
const mostLast = 1_000_000

// longestLine bounds a flow in a file, bytes.
const longestLine = 4 << 20

func endOfFlows(err error) bool { return errors.Is(err, io.EOF) }

// file is a Source: lines of JSON as the formats JSON and JSONPB, and exports, have them.
type file struct {
	in     io.ReadCloser
	warn   io.Writer
	warned bool
}

// Read returns the flows of a file. Lines that are none are left out, with a warning.
func Read(in io.ReadCloser, warn io.Writer) Source { return &file{in: in, warn: warn} }

// Close closes the file.
func (f *file) Close() error { return f.in.Close() }

// Flows gives the flows that the request selects, in the order of the file. It never follows.
func (f *file) Flows(ctx context.Context, req *observerpb.GetFlowsRequest, yield func(*observerpb.GetFlowsResponse) error) error {
	match, err := NewMatcher(req)
	if err != nil {
		return err
	}
	number := req.GetNumber()
	if number == math.MaxUint64 {
		number = 0
	}
	last := number > 0 && !req.GetFirst()
	if last && number > mostLast {
		return fmt.Errorf("--last %d: at most %d of a file", number, mostLast)
	}
	var kept []*observerpb.GetFlowsResponse
	lines := bufio.NewScanner(f.in)
	lines.Buffer(nil, longestLine)
	for n := 1; lines.Scan() && ctx.Err() == nil; n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		r := f.parse(n, lines.Bytes())
		if r == nil || !between(req, r.GetTime()) || r.GetFlow() != nil && !match(r.GetFlow()) {
			continue
		}
		if !last {
			if err := yield(r); err != nil {
				return err
			}
			if number--; req.GetFirst() && number == 0 {
				return nil
			}
			continue
		}
		if kept = append(kept, r); uint64(len(kept)) >= 2*number {
			kept = append(kept[:0], kept[uint64(len(kept))-number:]...)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read flows: %w", err)
	}
	if uint64(len(kept)) > number {
		kept = kept[uint64(len(kept))-number:]
	}
	for _, r := range kept {
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

// parse reads a line. Fields that this version does not know are left out, which is said once.
func (f *file) parse(n int, line []byte) *observerpb.GetFlowsResponse {
	var r observerpb.GetFlowsResponse
	err := protojson.Unmarshal(line, &r)
	if err == nil {
		return &r
	}
	if protojson.Unmarshal([]byte("{}"), &r) == nil && (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, &r) == nil {
		if !f.warned {
			fmt.Fprintf(f.warn, "sluice: line %d has fields that this version does not know; they are left out\n", n)
		}
		f.warned = true
		return &r
	}
	fmt.Fprintf(f.warn, "sluice: line %d is no flow: %s\n", n, clean(err.Error()))
	return nil
}

// between tells whether a time is within the limits of a request.
func between(req *observerpb.GetFlowsRequest, t *timestamppb.Timestamp) bool {
	if t == nil {
		return true
	}
	if s := req.GetSince(); s != nil && t.AsTime().Before(s.AsTime()) {
		return false
	}
	return req.GetUntil() == nil || !t.AsTime().After(req.GetUntil().AsTime())
}
