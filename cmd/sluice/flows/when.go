package flows

import (
	"fmt"
	"strings"
	"time"
)

// layout is a way to write a time.
type layout struct{ name, layout string }

// layouts are those that hubble knows, by its names.
var layouts = []layout{
	{"StampMilli", time.StampMilli},
	{"YearMonthDay", time.DateOnly},
	{"YearMonthDayHour", "2006-01-02T15Z07:00"},
	{"YearMonthDayHourMinute", "2006-01-02T15:04Z07:00"},
	{"RFC3339", time.RFC3339},
	{"RFC3339Milli", "2006-01-02T15:04:05.999Z07:00"},
	{"RFC3339Micro", "2006-01-02T15:04:05.999999Z07:00"},
	{"RFC3339Nano", time.RFC3339Nano},
	{"RFC1123Z", time.RFC1123Z},
}

// local are layouts without a zone: they are read as the user's own time.
var local = []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05"}

// today are layouts of a time of the current day.
var today = []string{"15:04", time.TimeOnly}

// TimeFormats are the names that LayoutOf knows.
func TimeFormats() []string {
	var names []string
	for _, l := range layouts {
		names = append(names, l.name)
	}
	return names
}

// LayoutOf returns the layout of a name.
func LayoutOf(name string) (string, error) {
	for _, l := range layouts {
		if strings.EqualFold(l.name, name) {
			return l.layout, nil
		}
	}
	return "", fmt.Errorf("there is no time format %q, only %s", name, strings.Join(TimeFormats(), ", "))
}

// ParseTime reads a moment: a duration before now ("5m"), or a date and time. What has no zone is in now's.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, l := range layouts[2:] {
		if t, err := time.Parse(l.layout, s); err == nil {
			return t, nil
		}
	}
	for _, l := range local {
		if t, err := time.ParseInLocation(l, s, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, l := range today {
		if t, err := time.ParseInLocation(l, s, now.Location()); err == nil {
			return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write how long ago (90s, 5m, 2h), or for example 15:04, "+
		"2006-01-02T15:04 or 2006-01-02T15:04:05Z", s)
}
