package capture

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/testutil"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}

var when = time.Date(2026, 1, 2, 15, 4, 5, 123456789, time.UTC)

func syn() []byte {
	return testutil.Packet("172.30.0.2", "172.30.0.3", 6, &layers.TCP{SrcPort: 4000, DstPort: 80, Seq: 7, SYN: true, Window: 64240})
}

func dropped(container, point string, frame []byte) api.Captured {
	return api.Captured{Time: when, Container: container, Network: "net", Point: point, Verdict: api.VerdictDropped, Reason: "policy denied",
		Policy: "allow-web", Rule: "ingress[0]", Length: len(frame), Frame: frame}
}

func TestFile(t *testing.T) {
	var out bytes.Buffer
	f := NewFile(&out, Options{Version: "1", Filter: "tcp", SnapLength: 40, Started: when.Add(-time.Second)})
	short := dropped("db", api.Ingress, syn()[:40])
	short.Length = 1500
	forwarded := api.Captured{Time: when.Add(time.Millisecond), Container: "db", Network: "net", Point: api.Egress, Verdict: api.VerdictForwarded, Length: 60, Frame: syn()[:40]}
	for _, c := range []api.Captured{{Container: "db"}, short, forwarded, {Container: "db", Lost: 3}, {Container: "db", Lost: 9}, short} {
		if err := f.Write(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(when.Add(time.Minute)); err != nil || f.Lost() != 9 {
		t.Fatalf("%v; %d lost", err, f.Lost())
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(out.Bytes()), pcapgo.NgReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s := r.SectionInfo(); s.Application != "sluice 1" {
		t.Errorf("section %+v", s)
	}
	want := []struct {
		id, length int
		comment    string
		time       time.Time
		direction  pcapgo.NgEpbFlag
	}{
		{0, 1500, "dropped: policy denied by allow-web ingress[0]", when, pcapgo.NgEpbFlagDirectionInbound},
		{1, 60, "forwarded", forwarded.Time, pcapgo.NgEpbFlagDirectionOutbound},
		{0, 1500, "dropped: policy denied by allow-web ingress[0]", when, pcapgo.NgEpbFlagDirectionInbound},
	}
	for i, w := range want {
		data, info, options, err := r.ReadPacketDataWithOptions()
		if err != nil {
			t.Fatal(err)
		}
		if info.InterfaceIndex != w.id || info.Length != w.length || len(data) != 40 || !info.Timestamp.Equal(w.time) {
			t.Errorf("packet %d: %+v", i, info)
		}
		if len(options.Comments) != 1 || options.Comments[0] != w.comment || options.Flags.Direction != w.direction {
			t.Errorf("packet %d: options %+v", i, options)
		}
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("more packets: %v", err)
	}
	for id, w := range []struct {
		name              string
		received, dropped uint64
	}{{"db ingress", 2, 9}, {"db egress", 1, 0}} {
		i, err := r.Interface(id)
		if err != nil {
			t.Fatal(err)
		}
		if i.Name != w.name || i.Filter != "tcp" || i.SnapLength != 40 || i.Statistics.PacketsReceived != w.received || i.Statistics.PacketsDropped != w.dropped {
			t.Errorf("interface %d: %+v", id, i)
		}
	}
}

// A capture without packets is a file that can be read.
func TestEmptyFile(t *testing.T) {
	var out bytes.Buffer
	f := NewFile(&out, Options{})
	if err := errors.Join(f.Flush(), f.Close(when)); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(&out, pcapgo.NgReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFullDisk(t *testing.T) {
	f := NewFile(full{}, Options{})
	err := f.Write(dropped("db", api.Ingress, make([]byte, 9000)))
	if err == nil {
		err = f.Close(when)
	}
	if err == nil {
		t.Error("nobody says that the disk is full")
	}
}

func TestLine(t *testing.T) {
	arp := func(op uint16) []byte {
		return testutil.Frame(&layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{255, 255, 255, 255, 255, 255}, EthernetType: layers.EthernetTypeARP},
			&layers.ARP{AddrType: 1, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: op, SourceHwAddress: []byte{2, 0, 0, 0, 0, 1},
				SourceProtAddress: []byte{10, 0, 0, 1}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 1, 2}})
	}
	dns := &layers.DNS{Questions: []layers.DNSQuestion{{Name: []byte("a\x1b.org"), Type: layers.DNSTypeAAAA, Class: layers.DNSClassIN}}}
	for _, c := range []struct {
		frame []byte
		want  string
	}{
		{syn(), "172.30.0.2:4000 > 172.30.0.3:80 TCP [S] seq 7 win 64240 payload 0"},
		{testutil.Packet("fd00::1", "fd00::2", 6, &layers.TCP{SrcPort: 80, DstPort: 4000, ACK: true, PSH: true, Ack: 8, Window: 1}, gopacket.Payload("hello, world")),
			"[fd00::1]:80 > [fd00::2]:4000 TCP [P.] seq 0 ack 8 win 1 payload 12"},
		{testutil.Packet("fd00::1", "fd00::2", 17, &layers.UDP{SrcPort: 4000, DstPort: 53}, dns), `[fd00::1]:4000 > [fd00::2]:53 UDP DNS AAAA "a\x1b.org"`},
		{testutil.Packet("172.30.0.2", "172.30.0.3", 17, &layers.UDP{SrcPort: 4000, DstPort: 9}, gopacket.Payload("0123456789")), "172.30.0.2:4000 > 172.30.0.3:9 UDP"},
		{testutil.Packet("172.30.0.2", "172.30.0.3", 1, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}), "172.30.0.2 > 172.30.0.3 ICMP EchoRequest"},
		{testutil.Packet("fd00::1", "fd00::2", 58, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}), "fd00::1 > fd00::2 ICMPv6 EchoRequest"},
		{testutil.Packet("172.30.0.2", "172.30.0.3", 47), "172.30.0.2 > 172.30.0.3 GRE"},
		{arp(1), "ARP who has 10.0.1.2, tell 10.0.0.1"},
		{arp(2), "ARP 10.0.0.1 is at 02:00:00:00:00:01"},
		{[]byte{1, 2, 3}, "? > ? cut off"},
	} {
		got := Line(api.Captured{Time: when, Container: "web", Point: api.Egress, Verdict: api.VerdictForwarded, Length: 99, Frame: c.frame})
		if want := "15:04:05.123456 web egress " + c.want + ", 99 bytes"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got := Line(dropped("db", api.Ingress, syn())); got != "15:04:05.123456 db ingress 172.30.0.2:4000 > 172.30.0.3:80 TCP [S] seq 7 win 64240 payload 0, 60 bytes, "+
		"dropped: policy denied by allow-web ingress[0]" {
		t.Errorf("got %s", got)
	}
	if got := Line(api.Captured{Time: when, Container: "db", Lost: 3}); got != "15:04:05.123456 db: 3 packets lost so far: they came faster than they are read" {
		t.Errorf("got %s", got)
	}
}

// FuzzLine describes whatever a container sends.
func FuzzLine(f *testing.F) {
	f.Add(syn())
	f.Add(testutil.Packet("fd00::1", "fd00::2", 17, &layers.UDP{SrcPort: 4000, DstPort: 53}, gopacket.Payload("x")))
	f.Fuzz(func(_ *testing.T, frame []byte) {
		Line(api.Captured{Time: when, Verdict: api.VerdictForwarded, Frame: frame})
	})
}
