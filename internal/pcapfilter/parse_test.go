package pcapfilter

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/sluice-net/sluice/internal/testutil"
)

var mac = []byte{2, 0, 0, 0, 0, 1}

// frames are one of every kind: TCP there and back, UDP, ICMP over both families, ARP, a fragment, IPv6 with a header between.
var frames = map[string][]byte{
	"t4":  testutil.Packet("10.0.0.1", "10.0.1.2", 6, &layers.TCP{SrcPort: 4000, DstPort: 80, SYN: true}),
	"t4r": testutil.Packet("10.0.1.2", "10.0.0.1", 6, &layers.TCP{SrcPort: 80, DstPort: 4000, ACK: true}, gopacket.Payload(make([]byte, 100))),
	"u4":  testutil.Packet("10.0.0.1", "10.0.1.2", 17, &layers.UDP{SrcPort: 4000, DstPort: 53}),
	"t6":  testutil.Packet("fd00::1", "fd00::2", 6, &layers.TCP{SrcPort: 4000, DstPort: 80, SYN: true}),
	"u6":  testutil.Packet("fd00::1", "2001:db8::2", 17, &layers.UDP{SrcPort: 53, DstPort: 4000}),
	"i4":  testutil.Packet("10.0.0.1", "10.0.1.2", 1, &layers.ICMPv4{}),
	"i6":  testutil.Packet("fd00::1", "fd00::2", 58, &layers.ICMPv6{}),
	"arp": testutil.Frame(&layers.Ethernet{SrcMAC: mac, DstMAC: []byte{255, 255, 255, 255, 255, 255}, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: 1, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1, SourceHwAddress: mac,
			SourceProtAddress: []byte{10, 0, 0, 1}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 1, 2}}),
	"f4": testutil.Frame(&layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, IHL: 5, Protocol: 17, FragOffset: 100, SrcIP: []byte{10, 0, 0, 1}, DstIP: []byte{10, 0, 1, 2}},
		gopacket.Payload{0, 53, 0, 53, 0, 0, 0, 0}),
}

var order = []string{"t4", "t4r", "u4", "t6", "u6", "i4", "i6", "arp", "f4"}

// cases say what filters select.
var cases = map[string]string{
	"":                                       "t4 t4r u4 t6 u6 i4 i6 arp f4",
	"tcp":                                    "t4 t4r t6",
	"udp":                                    "u4 u6 f4",
	"icmp":                                   "i4",
	"icmp6":                                  "i6",
	"icmp or icmp6":                          "i4 i6",
	"ip":                                     "t4 t4r u4 i4 f4",
	"ip6":                                    "t6 u6 i6",
	"arp":                                    "arp",
	"port 80":                                "t4 t4r t6",
	"port 80 or 53":                          "t4 t4r u4 t6 u6",
	"tcp port 80":                            "t4 t4r t6",
	"udp port 53":                            "u4 u6",
	"src port 80":                            "t4r",
	"dst port 80":                            "t4 t6",
	"udp dst port 53":                        "u4",
	"portrange 50-60":                        "u4 u6",
	"src portrange 4000-4001":                "t4 u4 t6",
	"host 10.0.0.1":                          "t4 t4r u4 i4 arp f4",
	"ip host 10.0.0.1":                       "t4 t4r u4 i4 f4",
	"src host 10.0.0.1":                      "t4 u4 i4 arp f4",
	"dst 10.0.0.1":                           "t4r",
	"src or dst host 10.0.0.1":               "t4 t4r u4 i4 arp f4",
	"src and dst net 10.0.0.0/8":             "t4 t4r u4 i4 arp f4",
	"10.0.0.1":                               "t4 t4r u4 i4 arp f4",
	"host fd00::1":                           "t6 u6 i6",
	"dst host fd00::2 and not icmp6":         "t6",
	"net 10.0.1.0/24":                        "t4 t4r u4 i4 arp f4",
	"src net 10.0.1":                         "t4r",
	"net fd00::/16":                          "t6 u6 i6",
	"dst net 2001:db8::/32":                  "u6",
	"not tcp":                                "u4 u6 i4 i6 arp f4",
	"! tcp":                                  "u4 u6 i4 i6 arp f4",
	"!(tcp or udp)":                          "i4 i6 arp",
	"tcp and not port 80":                    "",
	"not port 80":                            "u4 u6 i4 i6 arp f4",
	"host 10.0.0.1 and (port 80 or port 53)": "t4 t4r u4",
	"(tcp or udp) and ip6":                   "t6 u6",
	"ip6 and tcp port 80":                    "t6",
	"tcp && port 80":                         "t4 t4r t6",
	"tcp || udp":                             "t4 t4r u4 t6 u6 f4",
	"udp or tcp and ip6":                     "t6 u6", // from left to right, as pcap has it
	"proto 17":                               "u4 u6 f4",
	"ip proto tcp":                           "t4 t4r",
	"ip6 proto 58":                           "i6",
	"greater 100":                            "t4r",
	"less 60":                                "t4 u4 i4 i6 arp f4",
	"port domain":                            "u4 u6",
	"ether host 02:00:00:00:00:02":           "t4 t4r u4 t6 u6 i4 i6",
	"ether dst 02:00:00:00:00:01":            "f4",
	"broadcast":                              "arp",
	"host web":                               "t4 t4r u4 t6 u6 i4 i6 arp f4",
	"dst host web":                           "t4r",
	"not ip6 and not arp":                    "t4 t4r u4 i4 f4",
}

func resolve(name string) []netip.Addr {
	if name != "web" {
		return nil
	}
	return []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
}

func selected(t *testing.T, text string) string {
	t.Helper()
	f, err := Parse(text, resolve)
	if err != nil {
		t.Errorf("%q: %v", text, err)
		return ""
	}
	var all []string
	for _, name := range order {
		if f.Match(frames[name], len(frames[name])) {
			all = append(all, name)
		}
	}
	return strings.Join(all, " ")
}

func TestMatch(t *testing.T) {
	for text, want := range cases {
		if got := selected(t, text); got != want {
			t.Errorf("%q selects %s, want %s", text, got, want)
		}
	}
}

// What tcpdump selects from the same frames is the same.
func TestAsTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		testutil.NotSupported(t, "tcpdump", "", err)
	}
	file := filepath.Join(t.TempDir(), "frames.pcap")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w := pcapgo.NewWriter(out)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i, name := range order {
		b := frames[name]
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(b), Length: len(b)}, b); err != nil {
			t.Fatal(err)
		}
	}
	for text := range cases {
		if strings.Contains(text, "web") || text == "10.0.0.1" || text == "ip proto tcp" {
			continue // tcpdump has no names of containers, wants a word before an address, and a backslash before tcp
		}
		shown, err := exec.Command(tcpdump, "-nn", "-tt", "-r", file, text).Output()
		if err != nil {
			t.Errorf("tcpdump %q: %v", text, err)
			continue
		}
		var names []string
		for line := range strings.Lines(string(shown)) {
			var second int
			if _, err := fmt.Sscanf(line, "%d.", &second); err == nil {
				names = append(names, order[second])
			}
		}
		if got := strings.Fields(selected(t, text)); !slices.Equal(got, names) {
			t.Errorf("%q selects %v, tcpdump %v", text, got, names)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"bogus":                         `"bogus" stands where a protocol`,
		"tcp port":                      "ends where the value of port should follow",
		"and":                           `"and" stands where`,
		"tcp and":                       "it ends where",
		"tcp udp":                       `"udp"`,
		"(tcp":                          "it ends where )",
		"tcp)":                          `")" stands where and, or should`,
		"port 99999":                    "port 99999: it is no port",
		"port nothing-so":               "it is no port",
		"host 1.2.3":                    "it is no address",
		"host nobody":                   "no container is called so",
		"net 10.0.0.0/99":               "it is no network",
		"portrange 5":                   "FIRST-LAST",
		"proto 300":                     "from 0 to 255",
		"proto x":                       "no number of a protocol",
		"ether host x":                  "no MAC address",
		"greater x":                     "a number of bytes",
		"tcp[13] & 2 != 0":              "offsets, flags and arithmetic are not supported",
		strings.Repeat("(", 99) + "tcp": "nested too deeply",
		strings.Repeat("tcp or ", mostWords/2) + "tcp": "at most",
	} {
		if _, err := Parse(text, resolve); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// IPv6's extension headers are gone through.
func TestExtensionHeaders(t *testing.T) {
	f := testutil.Packet("fd00::1", "fd00::2", 0)[:14+40]
	hop := []byte{44, 0, 1, 4, 0, 0, 0, 0}
	first := slices.Concat(f, hop, []byte{17, 0, 0, 1, 0, 0, 0, 9}, []byte{0, 53, 0, 54, 0, 8, 0, 0})
	later := slices.Concat(f, hop, []byte{17, 0, 0, 8, 0, 0, 0, 9}, []byte{0, 53, 0, 54, 0, 8, 0, 0})
	for _, c := range []struct {
		frame []byte
		text  string
		want  bool
	}{{first, "udp port 53", true}, {first, "udp dst port 54", true}, {later, "udp", true}, {later, "port 53", false}, {first[:len(f)+4], "udp", false}} {
		filter, err := Parse(c.text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := filter.Match(c.frame, len(c.frame)); got != c.want {
			t.Errorf("%s of %x: %t", c.text, c.frame, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for text := range cases {
		f.Add(text, frames["t6"])
	}
	f.Fuzz(func(t *testing.T, text string, frame []byte) {
		if filter, err := Parse(text, resolve); err == nil {
			filter.Match(frame, len(frame))
		}
	})
}
