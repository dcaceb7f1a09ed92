package servertest

import (
	"context"
	"time"

	"github.com/sluice-net/sluice/api"
)

// Watch implements server.Traffic: a first sample at once and then one an interval, the last again until the count is reached
// or the context ends.
func (f *Fake) Watch(ctx context.Context, r api.TrafficRequest, yield func(api.Traffic) error) error {
	f.record("Watch", r)
	for n := 0; f.Fail == nil && ctx.Err() == nil && (r.Count == 0 || n < r.Count); n++ {
		if err := yield(f.TrafficList[min(n, len(f.TrafficList)-1)]); err != nil {
			return err
		}
		if n+1 != r.Count {
			select {
			case <-time.After(r.Interval):
			case <-ctx.Done():
			}
		}
	}
	return f.Fail
}

// sampleTraffic is one sample by containers.
func sampleTraffic() []api.Traffic {
	return []api.Traffic{{Time: Now, Over: 2 * time.Second, Lost: 3, Rows: []api.TrafficRow{
		{Name: "web", Container: "web", Project: "shop", Service: "web", Sent: api.Rate{Bytes: 3.5 * (1 << 20), Packets: 2750},
			Received: api.Rate{Bytes: 150000, Packets: 1900}, New: 12.5, Open: 40},
		{Name: "db", Container: "db", Project: "shop", Service: "db", Sent: api.Rate{Bytes: 150000, Packets: 1900},
			Received: api.Rate{Bytes: 90000, Packets: 800}, Drops: 4, Reason: "policy denied", New: 0.5, Open: 3},
		{Name: "alone", Container: "alone"},
	}}}
}
