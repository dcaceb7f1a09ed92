package servertest

import (
	"context"
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/api"
)

// CaptureCall is what Capture was asked for.
type CaptureCall struct {
	Containers []string
	Request    api.CaptureRequest
	Web        []netip.Addr // of the name web
}

// Capture implements server.Captures: the list, and then nothing until the context ends.
func (f *Fake) Capture(ctx context.Context, containers []string, r api.CaptureRequest, addrs func(string) []netip.Addr, yield func(api.Captured) error) error {
	f.record("Capture", CaptureCall{containers, r, addrs("web")})
	for _, c := range f.CapturedList {
		if err := yield(c); err != nil {
			return err
		}
	}
	if f.Fail == nil {
		<-ctx.Done()
		f.record("EndCapture", nil)
	}
	return f.Fail
}

// sampleCaptured is a segment of web to db that is dropped, one that is forwarded, and the news of two that were lost.
func sampleCaptured() []api.Captured {
	// Ethernet, IPv4 and TCP headers: 172.31.0.2:40212 > 172.31.0.3:5432, SYN.
	frame := []byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00" +
		"\x45\x00\x00\x28\x00\x00\x40\x00\x40\x06\x00\x00\xac\x1f\x00\x02\xac\x1f\x00\x03" +
		"\x9d\x14\x15\x38\x00\x00\x00\x01\x00\x00\x00\x00\x50\x02\xfa\xf0\x00\x00\x00\x00")
	return []api.Captured{
		{Time: Now, Container: "db"},
		{Time: Now, Container: "db", Network: "net", Point: api.Ingress, Verdict: api.VerdictDropped, Reason: api.ReasonPolicyDenied,
			Policy: "allow-web", Rule: "ingress[0]", Length: 54, Frame: frame},
		{Time: Now.Add(time.Millisecond), Container: "db", Network: "net", Point: api.Egress, Verdict: api.VerdictForwarded, Length: 1500, Frame: frame},
		{Time: Now.Add(time.Second), Container: "db", Lost: 2},
	}
}
