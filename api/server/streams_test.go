package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server/servertest"
)

func TestTraffic(t *testing.T) {
	c := start(t, servertest.Sample())
	n := 0
	err := c.Traffic(t.Context(), api.TrafficRequest{By: api.TrafficContainers, Interval: api.MinTrafficInterval, Count: 2}, func(s api.Traffic) error {
		if n++; len(s.Rows) != 3 || s.Lost != 3 {
			t.Errorf("got %+v", s)
		}
		return nil
	})
	if err != nil || n != 2 {
		t.Errorf("%d samples, %v", n, err)
	}
	for _, r := range []api.TrafficRequest{
		{By: "color", Interval: time.Second}, {By: api.TrafficPeers}, {By: api.TrafficPeers, Interval: time.Hour},
		{By: api.TrafficPeers, Interval: time.Second, Count: -1},
	} {
		if err := c.Traffic(t.Context(), r, nil); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestCapture(t *testing.T) {
	f := servertest.Sample()
	c := start(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	err := c.Capture(ctx, api.CaptureRequest{Refs: []string{"web", "db"}}, func(api.Captured) error {
		if n++; n == 4 {
			cancel()
		}
		return nil
	})
	if err != nil || n != 4 {
		t.Errorf("%d items, %v", n, err)
	}
	asked := f.Calls()[0].Args.(servertest.CaptureCall)
	if strings.Join(asked.Containers, " ") != "db web" || asked.Request.SnapLength != api.MaxSnapLength {
		t.Errorf("asked %+v", asked)
	}
	for _, c2 := range []struct {
		r    api.CaptureRequest
		code api.Code
	}{
		{api.CaptureRequest{}, api.CodeInvalid},
		{api.CaptureRequest{Refs: []string{"web"}, SnapLength: 1}, api.CodeInvalid},
		{api.CaptureRequest{Refs: []string{"web"}, SnapLength: 1 << 20}, api.CodeInvalid},
		{api.CaptureRequest{Refs: []string{"nobody"}}, api.CodeNotFound},
	} {
		if err := c.Capture(t.Context(), c2.r, nil); api.CodeOf(err) != c2.code {
			t.Errorf("%+v: %v", c2.r, err)
		}
	}
}

// Streams are bounded: one more than there may be is told to end another, and may come when one is gone.
func TestStreamsAreBounded(t *testing.T) {
	c := start(t, servertest.Sample())
	ctx, cancel := context.WithCancel(t.Context())
	begun, ended := make(chan struct{}), make(chan error)
	const most = 8
	for range most {
		go func() {
			first := true
			ended <- c.Capture(ctx, api.CaptureRequest{Refs: []string{"web"}}, func(api.Captured) error {
				if first {
					begun <- struct{}{}
				}
				first = false
				return nil
			})
		}()
	}
	for range most {
		<-begun
	}
	err := c.Capture(t.Context(), api.CaptureRequest{Refs: []string{"web"}}, nil)
	if api.CodeOf(err) != api.CodeUnavailable || !strings.Contains(err.Error(), "end one of them") {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	for range most {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	enough := errors.New("enough")
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := c.Capture(t.Context(), api.CaptureRequest{Refs: []string{"web"}}, func(api.Captured) error { return enough })
		if errors.Is(err, enough) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("when all are gone: %v", err)
		}
	}
}
