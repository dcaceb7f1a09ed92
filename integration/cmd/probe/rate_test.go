package main

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	var none *meter
	if got := none.String(); got != "0\n" {
		t.Errorf("nothing is %q", got)
	}
	var m meter
	began := time.Unix(1, 0)
	for n := range 31 { // 1000 bytes each 100 ms for 3 s
		m.add(began.Add(time.Duration(n)*100*time.Millisecond), 1000)
	}
	if got := m.String(); got != "80000\n" {
		t.Errorf("10 kB in a second are %q", got)
	}
}

func TestRate(t *testing.T) {
	tcp, udp, _ := startServer(t)
	for network, to := range map[string]string{"tcp": tcp, "udp": udp} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := rate([]string{"-t", "1500ms", "-at", "8e6", network, to}, &out); err != nil {
				t.Fatal(err)
			}
			var bits float64
			if _, err := fmt.Sscanf(out.String(), "ok %g", &bits); err != nil {
				t.Fatalf("%q: %v", out.String(), err)
			}
			if bits < 1e6 || network == "udp" && bits > 12e6 {
				t.Errorf("%g bits in a second arrived", bits)
			}
		})
	}
}
