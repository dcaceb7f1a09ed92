package hubble

import (
	"context"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-net/sluice/observe"
)

// at is a time after noon.
func at(seconds int) *timestamppb.Timestamp {
	return timestamppb.New(noon.Add(time.Duration(seconds) * time.Second))
}

func TestGetFlows(t *testing.T) {
	f := serve(t, 100)
	for i := range 6 { // even ones are of web, odd ones of cron
		f.add(flow([]*observe.Party{web, cron}[i%2], db, i))
	}
	ofCron := []*flowpb.FlowFilter{{SourcePod: []string{"default/cron"}}}
	for _, c := range []struct {
		name    string
		request *observerpb.GetFlowsRequest
		want    string
	}{
		{"all", &observerpb.GetFlowsRequest{}, "0 1 2 3 4 5"},
		{"the last", &observerpb.GetFlowsRequest{Number: 2}, "4 5"},
		{"the first", &observerpb.GetFlowsRequest{Number: 2, First: true}, "0 1"},
		{"more than there are", &observerpb.GetFlowsRequest{Number: 1 << 63}, "0 1 2 3 4 5"},
		{"the last that match", &observerpb.GetFlowsRequest{Number: 2, Whitelist: ofCron}, "3 5"},
		{"the first that match", &observerpb.GetFlowsRequest{Number: 2, First: true, Whitelist: ofCron}, "1 3"},
		{"none of these", &observerpb.GetFlowsRequest{Blacklist: ofCron}, "0 2 4"},
		{"since", &observerpb.GetFlowsRequest{Since: at(4)}, "4 5"},
		{"since beats the number", &observerpb.GetFlowsRequest{Since: at(1), Number: 2}, "1 2 3 4 5"},
		{"until", &observerpb.GetFlowsRequest{Until: at(2)}, "0 1 2"},
		{"between", &observerpb.GetFlowsRequest{Since: at(2), Until: at(3)}, "2 3"},
		{"the last until", &observerpb.GetFlowsRequest{Number: 1, Until: at(3)}, "3"},
		{"never", &observerpb.GetFlowsRequest{Since: at(3), Until: at(2)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := f.get(c.request); err != nil || got != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestGetFlowsRefuses(t *testing.T) {
	f := serve(t, 100)
	for name, c := range map[string]struct {
		request *observerpb.GetFlowsRequest
		want    string
	}{
		"first and follow": {&observerpb.GetFlowsRequest{First: true, Follow: true}, "first cannot be combined with follow"},
		"filter":           {&observerpb.GetFlowsRequest{Whitelist: []*flowpb.FlowFilter{{SourceIp: []string{"x"}}}}, "source_ip"},
		"filter against":   {&observerpb.GetFlowsRequest{Blacklist: []*flowpb.FlowFilter{{SourceLabel: []string{"("}}}}, "source_label"},
		"mask":             {&observerpb.GetFlowsRequest{FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"shoes"}}}, "shoes"},
		"time":             {&observerpb.GetFlowsRequest{Since: &timestamppb.Timestamp{Seconds: 1 << 60}}, "timestamp"},
		"end":              {&observerpb.GetFlowsRequest{Until: &timestamppb.Timestamp{Nanos: -1}}, "timestamp"},
	} {
		_, err := f.get(c.request)
		t.Run(name, func(t *testing.T) { wantCode(t, err, codes.InvalidArgument, c.want) })
	}
	_, err := f.get(&observerpb.GetFlowsRequest{Whitelist: []*flowpb.FlowFilter{{SourcePod: []string{strings.Repeat("x", maxRequest)}}}})
	wantCode(t, err, codes.ResourceExhausted, "larger than max")
}

func TestFollow(t *testing.T) {
	for _, c := range []struct {
		name    string
		request *observerpb.GetFlowsRequest
		want    string
	}{
		{"after the last", &observerpb.GetFlowsRequest{Follow: true, Number: 1}, "2 10 11"},
		{"since", &observerpb.GetFlowsRequest{Follow: true, Since: at(1)}, "1 2 10 11"},
		{"of one", &observerpb.GetFlowsRequest{Follow: true, Number: 5, Whitelist: []*flowpb.FlowFilter{{SourcePod: []string{"/web"}}}}, "0 2 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := serve(t, 100)
			f.add(flow(web, db, 0), flow(cron, db, 1), flow(web, db, 2))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			stream, err := f.observer.GetFlows(ctx, c.request)
			if err != nil {
				t.Fatal(err)
			}
			first, err := read(stream, 1)
			if err != nil {
				t.Fatal(err)
			}
			f.add(flow(web, db, 10), flow(cron, db, 11))
			got, err := read(stream, len(strings.Fields(c.want))-1)
			if err != nil || first+" "+got != c.want {
				t.Errorf("got %s %s, %v, want %s", first, got, err, c.want)
			}
			cancel()
			eventually(t, "the stream's place is free", func() bool { return len(f.server.walks) == 0 })
		})
	}
}

// Without a number and a time to begin with, nothing of the past comes.
func TestFollowFromNow(t *testing.T) {
	f := serve(t, 1000)
	f.add(flow(web, db, 0), flow(cron, db, 1))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := f.observer.GetFlows(ctx, &observerpb.GetFlowsRequest{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		first, err := read(stream, 1)
		if err != nil {
			first = err.Error()
		}
		got <- first
	}()
	tick := time.NewTicker(5 * time.Millisecond) // the stream begins some time
	defer tick.Stop()
	for {
		select {
		case first := <-got:
			if first != "10" {
				t.Errorf("the first flow is %s", first)
			}
			return
		case <-tick.C:
			f.add(flow(web, db, 10))
		}
	}
}

func TestFollowUntil(t *testing.T) {
	f := serve(t, 100)
	f.add(flow(web, db, 0))
	got, err := f.get(&observerpb.GetFlowsRequest{Follow: true, Number: 1, Until: timestamppb.New(time.Now().Add(50 * time.Millisecond))})
	if err != nil {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestMasked(t *testing.T) {
	f := serve(t, 10)
	f.add(flow(web, db, 3))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := f.observer.GetFlows(ctx, &observerpb.GetFlowsRequest{FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"source.pod_name"}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.Recv()
	if err != nil || m.GetFlow().GetSource().GetPodName() != "web" || m.GetFlow().GetDestination() != nil || m.GetNodeName() != "host-a" || !m.GetTime().AsTime().Equal(noon.Add(3*time.Second)) {
		t.Errorf("got %v, %v", m, err)
	}
}

// A client that reads too slowly loses the oldest flows, is told how many, and goes on with those that are there.
func TestSlowClientLoses(t *testing.T) {
	f := serve(t, 64)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := f.observer.GetFlows(ctx, &observerpb.GetFlowsRequest{Follow: true, Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	f.add(flow(web, db, 0))
	eventually(t, "the stream begins", func() bool { return len(f.server.walks) == 1 })
	const sent = 20000 // more than the windows of HTTP/2 take
	for i := range sent {
		f.add(flow(web, db, i%60000))
	}
	seen, lost := 0, 0
	for seen+lost < sent {
		m, err := stream.Recv()
		if err != nil {
			t.Fatalf("after %d flows and %d lost: %v", seen, lost, err)
		}
		if e := m.GetLostEvents(); e != nil {
			lost += int(e.GetNumEventsLost())
			if e.GetSource() != flowpb.LostEventSource_HUBBLE_RING_BUFFER {
				t.Errorf("lost by %v", e.GetSource())
			}
			continue
		}
		seen++
	}
	if lost == 0 || seen > sent+1 {
		t.Errorf("%d flows came and %d were lost, of %d", seen, lost, sent)
	}
}

// A client that does not read at all is cut, and gives its place back.
func TestDeafClientIsCut(t *testing.T) {
	f := serve(t, 1<<15, func(o *Options) { o.Patience = 200 * time.Millisecond })
	for i := range 1 << 15 {
		f.add(flow(web, db, i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := f.observer.GetFlows(ctx, &observerpb.GetFlowsRequest{Follow: true, Since: at(0)})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream begins", func() bool { return len(f.server.walks) == 1 })
	eventually(t, "the client is cut", func() bool { return len(f.server.walks) == 0 })
	_, err = read(stream, -1)
	wantCode(t, err, codes.ResourceExhausted, "did not read for 200ms")
	if got, err := f.get(&observerpb.GetFlowsRequest{Number: 1}); err != nil || got != "32767" {
		t.Errorf("another client gets %s, %v", got, err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	f := serve(t, 10)
	for range cap(f.server.walks) {
		f.server.walks <- struct{}{}
	}
	_, err := f.get(&observerpb.GetFlowsRequest{})
	wantCode(t, err, codes.ResourceExhausted, "no more are served at once")
	<-f.server.walks
	if _, err := f.get(&observerpb.GetFlowsRequest{}); err != nil {
		t.Errorf("with a free place: %v", err)
	}
}

// The daemon's end ends streams that follow.
func TestStop(t *testing.T) {
	f := serve(t, 10)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := f.observer.GetFlows(ctx, &observerpb.GetFlowsRequest{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream begins", func() bool { return len(f.server.walks) == 1 })
	f.stop()
	if _, err := read(stream, -1); err == nil {
		t.Error("the stream ends as if there were nothing more")
	}
	eventually(t, "the stream's place is free", func() bool { return len(f.server.walks) == 0 })
}

// FuzzQuery checks that no request breaks the server, and that what is refused is refused as the client's fault.
func FuzzQuery(f *testing.F) {
	f.Add(uint64(1), true, false, int64(5), int32(0), int64(-1), int32(7), "a/b")
	f.Add(uint64(0), false, true, int64(1<<60), int32(-4), int64(0), int32(0), "10.0.0.0/8")
	s := New(Options{Flows: observe.New(observe.Options{Size: 16}), Convert: serveConverter()})
	for i := range 20 {
		s.options.Flows.Flows().Add(flow(web, db, i))
	}
	f.Fuzz(func(t *testing.T, number uint64, first, follow bool, since int64, sinceNanos int32, until int64, untilNanos int32, value string) {
		r := &observerpb.GetFlowsRequest{
			Number: number, First: first, Follow: follow, Since: &timestamppb.Timestamp{Seconds: since, Nanos: sinceNanos},
			Until:     &timestamppb.Timestamp{Seconds: until, Nanos: untilNanos},
			Whitelist: []*flowpb.FlowFilter{{SourcePod: []string{value}}, {SourceIp: []string{value}}, {SourceLabel: []string{value}}},
		}
		query, err := s.query(r, nil)
		if err != nil {
			return
		}
		if first && follow {
			t.Error("first and follow are taken together")
		}
		query.Follow = false
		if err := s.options.Flows.Walk(t.Context(), query, func(*observe.Flow) error { return nil }); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	})
}
