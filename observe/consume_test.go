package observe

import (
	"context"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
)

// BenchmarkPrivilegedConsume writes abi.EventRateAll events in every second, as often as it is run, and says what share of a
// processor making flows of them takes, and how many were lost.
func BenchmarkPrivilegedConsume(b *testing.B) {
	testutil.Privileged(b)
	dir, maps := pinned(b)
	o, stop := consumer(b, dir)
	defer stop()
	prog := writer(b, maps["events"])
	runtime.LockOSThread() // what writing takes is this thread's
	defer runtime.UnlockOSThread()
	var written, lost uint64
	start, all, own := time.Now(), cpuTime(unix.RUSAGE_SELF), cpuTime(unix.RUSAGE_THREAD)
	for b.Loop() {
		n, refused := writeSecond(b, prog)
		written, lost = written+n, lost+refused
	}
	poll(b, "all is seen", func() bool { return o.Counts().Seen == written })
	taken := time.Since(start)
	reading := cpuTime(unix.RUSAGE_SELF) - all - (cpuTime(unix.RUSAGE_THREAD) - own)
	b.ReportMetric(float64(written)/taken.Seconds(), "events/s")
	b.ReportMetric(100*reading.Seconds()/taken.Seconds(), "%CPU")
	b.ReportMetric(float64(reading.Nanoseconds())/float64(written), "ns/event")
	b.ReportMetric(float64(lost), "lost")
}

// TestPrivilegedConsumes: what is written in bursts, without a reader being woken, arrives whole.
func TestPrivilegedConsumes(t *testing.T) {
	testutil.Privileged(t)
	dir, maps := pinned(t)
	o, stop := consumer(t, dir)
	defer stop()
	prog := writer(t, maps["events"])
	var written uint64
	for range 4 {
		n, lost := write(t, prog, 2000)
		if lost > 0 {
			t.Fatalf("%d events found no room", lost)
		}
		written += n
		poll(t, "all is seen", func() bool { return o.Counts().Seen == written })
	}
	if _, next := o.Flows().Bounds(); next-1 < written {
		t.Errorf("%d events became %d flows", written, next-1)
	}
}

// consumer runs an observer of the pinned maps, until stop is called.
func consumer(t testing.TB, dir string) (o *Observer, stop func()) {
	t.Helper()
	kernel, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	o = New(Options{Ring: kernel, Names: testNames{}, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	return o, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

// writeSecond spreads abi.EventRateAll events over a second.
func writeSecond(t testing.TB, prog *ebpf.Program) (written, lost uint64) {
	t.Helper()
	const parts = 100
	for range parts {
		next := time.Now().Add(time.Second / parts)
		n, refused := write(t, prog, abi.EventRateAll/parts)
		written, lost = written+n, lost+refused
		time.Sleep(time.Until(next))
	}
	return written, lost
}

// write writes events of flows between containers and with the world.
func write(t testing.TB, prog *ebpf.Program, times uint32) (written, lost uint64) {
	t.Helper()
	e := denied()
	e.Type, e.Reason, e.Cause, e.Judged = abi.EventTrace, 0, abi.CauseNew, abi.JudgedNo
	_, e.Time = kernelClock()
	for half := range uint32(2) {
		if half == 1 {
			e.Dst, e.Identity = ip("203.0.113.9"), abi.IdentityWorld
		}
		// The verdict is that of the last write; a full ring stays full until it is read.
		ret, err := prog.Run(&ebpf.RunOptions{Data: record(e), Repeat: times / 2})
		if err != nil {
			t.Fatal(err)
		}
		if ret != 0 {
			lost += uint64(times / 2)
			continue
		}
		written += uint64(times / 2)
	}
	return written, lost
}

func cpuTime(who int) time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(who, &u) // it cannot fail for these (getrusage(2))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
