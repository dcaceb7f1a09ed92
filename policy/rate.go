package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The limits of a Rate. A burst holds at least one packet of the largest MTU that Ethernet has.
const (
	MinRate  = 8_000             // bits per second
	MaxRate  = 1_000_000_000_000 // bits per second
	MinBurst = 9_216             // bytes
	MaxBurst = 1_000_000_000     // bytes
)

var (
	rateUnits  = map[string]float64{"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "tbit": 1e12}
	burstUnits = map[string]float64{"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
)

// ParseRate reads `20mbit`, or with a burst `100mbit/1mb`: bits per second in decimal units, and bytes.
func ParseRate(s string) (Rate, error) {
	r, f := parseRate(s)
	if f != nil {
		return Rate{}, fmt.Errorf("read rate %s: %s", shorten(s), f.reason)
	}
	return r, nil
}

func parseRate(s string) (r Rate, f *fault) {
	rate, burst, hasBurst := strings.Cut(s, "/")
	if r.BitsPerSecond, f = quantity(rate, 0, rateUnits, "20mbit", "bits per second: bit, kbit, mbit, gbit"); f != nil {
		return Rate{}, f
	}
	if r.BitsPerSecond < MinRate || r.BitsPerSecond > MaxRate {
		return Rate{}, faultf(0, "%s is not from 8kbit to 1tbit", shorten(strings.TrimSpace(rate)))
	}
	if !hasBurst {
		return r, nil
	}
	at := len(rate) + 1
	if r.BurstBytes, f = quantity(burst, at, burstUnits, "1mb", "bytes: kb, mb, gb (decimal), kib, mib"); f != nil {
		return Rate{}, f
	}
	if r.BurstBytes < MinBurst || r.BurstBytes > MaxBurst {
		return Rate{}, faultf(at, "the burst %s is not from 9216b to 1gb", shorten(strings.TrimSpace(burst)))
	}
	return r, nil
}

func quantity(s string, at int, units map[string]float64, example, what string) (uint64, *fault) {
	trimmed := strings.ToLower(strings.TrimSpace(s))
	at += strings.Index(s, strings.TrimSpace(s))
	end := len(trimmed) - len(strings.TrimLeft(trimmed, "0123456789."))
	number, err := strconv.ParseFloat(trimmed[:end], 64)
	if err != nil {
		return 0, faultf(at, "%s does not start with a number: write for example %s", shorten(trimmed), example)
	}
	unit, ok := units[strings.TrimSpace(trimmed[end:])]
	if !ok {
		return 0, faultf(at+end, "unknown unit %s of %s, write for example %s", shorten(trimmed[end:]), what, example)
	}
	return uint64(math.Round(min(number*unit, math.MaxInt64))), nil
}

// String is the form that ParseRate reads; "" for no limit.
func (r Rate) String() string {
	if r.BitsPerSecond == 0 {
		return ""
	}
	s := exactly(r.BitsPerSecond, []string{"bit", "kbit", "mbit", "gbit", "tbit"})
	if r.BurstBytes != 0 {
		s += "/" + exactly(r.BurstBytes, []string{"b", "kb", "mb", "gb"})
	}
	return s
}

// exactly writes a number in the greatest unit that needs no fraction.
func exactly(n uint64, units []string) string {
	for len(units) > 1 && n%1000 == 0 && n != 0 {
		n, units = n/1000, units[1:]
	}
	return strconv.FormatUint(n, 10) + units[0]
}
