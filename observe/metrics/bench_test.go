package metrics

import (
	"fmt"
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// BenchmarkCount is what one flow costs: of 100 containers that talk to each other, with names, and with addresses.
func BenchmarkCount(b *testing.B) {
	var flows []*observe.Flow
	var parties []*observe.Party
	for i := range 100 {
		p := *web
		p.EndpointID, p.Container = fmt.Sprint("e-", i), fmt.Sprint("shop-web-", i)
		parties = append(parties, &p)
	}
	for i := range 4096 {
		f := flow(from(parties[i%100]), to(parties[i*7%100]), port(uint16(80+i%5)))
		switch i % 4 {
		case 1:
			f.Kernel.Type, f.Kernel.Reason = abi.EventDrop, uint16(abi.DropPolicyDenied)
		case 2:
			f.Kernel.Type, f.Rule = abi.EventVerdict, byName
		}
		flows = append(flows, f)
	}
	for name, config := range map[string]string{"default": Default, "one": "flow", "addresses": "flow:sourceContext=ip;destinationContext=ip"} {
		b.Run(name, func(b *testing.B) {
			c := count(b, config)
			for i := 0; b.Loop(); i++ {
				c.Count(flows[i%len(flows)])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)*50000/1e9*100, "%-of-a-core-at-50000/s")
		})
	}
}
