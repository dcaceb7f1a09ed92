package flows

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestRequest(t *testing.T) {
	now := sampleTime
	for _, c := range []struct {
		name   string
		o      Options
		number uint64
		first  bool
		follow bool
		since  time.Time
		until  time.Time
	}{
		{"nothing", Options{}, DefaultLast, false, false, time.Time{}, time.Time{}},
		{"follow begins now", Options{Follow: true}, 0, false, true, time.Time{}, time.Time{}},
		{"follow with a past", Options{Follow: true, Last: 5}, 5, false, true, time.Time{}, time.Time{}},
		{"all", Options{All: true}, math.MaxUint64, false, false, time.Time{}, time.Time{}},
		{"first", Options{First: 3}, 3, true, false, time.Time{}, time.Time{}},
		{"since", Options{Since: "5m"}, 0, false, false, now.Add(-5 * time.Minute), time.Time{}},
		{"until", Options{Until: "5m"}, 0, false, false, time.Time{}, now.Add(-5 * time.Minute)},
		{"between", Options{Since: "14:00", Until: "2026-01-02T15:00", Last: 2}, 2, false, false,
			time.Date(2026, 1, 2, 14, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)},
		{"a file has no default", Options{File: true}, 0, false, false, time.Time{}, time.Time{}},
	} {
		req, err := c.o.Request(&Filter{}, now)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if req.GetNumber() != c.number || req.GetFirst() != c.first || req.GetFollow() != c.follow {
			t.Errorf("%s: %v", c.name, req)
		}
		if c.since.IsZero() != (req.Since == nil) || req.Since != nil && !req.Since.AsTime().Equal(c.since) {
			t.Errorf("%s: since %v, want %v", c.name, req.Since.AsTime(), c.since)
		}
		if c.until.IsZero() != (req.Until == nil) || req.Until != nil && !req.Until.AsTime().Equal(c.until) {
			t.Errorf("%s: until %v, want %v", c.name, req.Until.AsTime(), c.until)
		}
	}
}

func TestRequestRefuses(t *testing.T) {
	for _, c := range []struct {
		o   Options
		err string
	}{
		{Options{First: 1, Last: 1}, "--first and --last"},
		{Options{First: 1, All: true}, "--first and --all"},
		{Options{First: 1, Follow: true}, "--first and --follow"},
		{Options{Last: 1, All: true}, "--last and --all"},
		{Options{Until: "1m", Follow: true}, "--until and --follow"},
		{Options{Since: "soon"}, `--since: "soon" is no time`},
		{Options{Until: "25:00"}, "--until"},
		{Options{Mask: []string{"frob"}}, "no such field"},
		{Options{Allow: []string{"{"}}, "--allowlist {"},
		{Options{Deny: []string{`{"frob":1}`}}, "--denylist"},
	} {
		if _, err := c.o.Request(&Filter{}, sampleTime); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.err)
		}
	}
}

func TestRaw(t *testing.T) {
	req, err := Options{Allow: []string{`{"source_pod":["it's"]} {"uuid":["u"]}`}, Deny: []string{`{"verdict":["DROPPED"]}`}}.
		Request(set(t, "to-port=80"), sampleTime)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Raw(req)
	want := `allowlist:
    - '{"destination_port":["80"]}'
    - '{"source_pod":["it''s"]}'
    - '{"uuid":["u"]}'
denylist:
    - '{"verdict":["DROPPED"]}'
`
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("X", 3600)
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, zone)
	for text, want := range map[string]time.Time{
		"90s":                             now.Add(-90 * time.Second),
		"1h43m":                           now.Add(-103 * time.Minute),
		"2026-01-01":                      time.Date(2026, 1, 1, 0, 0, 0, 0, zone),
		"2026-01-01T10Z":                  time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC),
		"2026-01-01T10:30Z":               time.Date(2026, 1, 1, 10, 30, 0, 0, time.UTC),
		"2026-01-01T10:30:05.5Z":          time.Date(2026, 1, 1, 10, 30, 5, 5e8, time.UTC),
		"2026-01-01T10:30:05+02:00":       time.Date(2026, 1, 1, 8, 30, 5, 0, time.UTC),
		"2026-01-01 10:30:05":             time.Date(2026, 1, 1, 10, 30, 5, 0, zone),
		"2026-01-01T10:30":                time.Date(2026, 1, 1, 10, 30, 0, 0, zone),
		"Thu, 01 Jan 2026 10:30:05 +0000": time.Date(2026, 1, 1, 10, 30, 5, 0, time.UTC),
		"10:30":                           time.Date(2026, 1, 2, 10, 30, 0, 0, zone),
		"10:30:15":                        time.Date(2026, 1, 2, 10, 30, 15, 0, zone),
	} {
		if got, err := ParseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	f.Add("5m")
	f.Add("2026-01-01T10Z")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := ParseTime(s, sampleTime); err == nil && got.IsZero() && !strings.HasPrefix(s, "0001") {
			t.Errorf("%q is %v", s, got)
		}
	})
}

func TestLayouts(t *testing.T) {
	for _, name := range TimeFormats() {
		if l, err := LayoutOf(strings.ToLower(name)); err != nil || sampleTime.Format(l) == "" {
			t.Errorf("%s: %q, %v", name, l, err)
		}
	}
	if _, err := LayoutOf("x"); err == nil {
		t.Error("a format that there is not is taken")
	}
}
