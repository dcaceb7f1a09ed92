package syslog

import (
	"os"
	"strconv"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/sluice-net/sluice/observe/export/sink"
)

// Severities (RFC 5424, table 2).
const (
	severityError   = 3
	severityWarning = 4
	severityNotice  = 5
	severityInfo    = 6
)

// severity tells how bad a record is: what was dropped or lost is a warning, what an audit would have dropped a notice.
func severity(r sink.Record) int {
	if r.Lost != nil {
		return severityWarning
	}
	switch r.Hubble.GetVerdict() {
	case flowpb.Verdict_DROPPED:
		return severityWarning
	case flowpb.Verdict_ERROR:
		return severityError
	case flowpb.Verdict_AUDIT:
		return severityNotice
	}
	return severityInfo
}

// messageID is the kind of a message (MSGID).
func messageID(r sink.Record) string {
	if r.Lost != nil {
		return "lost"
	}
	if v := r.Hubble.GetVerdict(); v != flowpb.Verdict_VERDICT_UNKNOWN {
		return v.String()
	}
	return "flow"
}

// header are the parts of a message that stay.
type header struct {
	facility int
	hostname string
	appName  string
}

// append writes a message without structured data (RFC 5424, 6). The text is UTF-8, without the optional mark at its
// beginning: many receivers would show it.
func (h header) append(b []byte, r sink.Record, text []byte) []byte {
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(h.facility*8+severity(r)), 10)
	b = append(b, ">1 "...)
	b = r.Flow.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
	for _, field := range []string{h.hostname, h.appName, strconv.Itoa(os.Getpid()), messageID(r)} {
		b = append(b, ' ')
		b = append(b, or(field, "-")...)
	}
	b = append(b, " - "...)
	return append(b, text...)
}

// hostname makes a header's field of any text: characters that may not stand there are left out.
func hostname(s string) string {
	var b []byte
	for i := 0; i < len(s) && len(b) < 255; i++ {
		if s[i] > 32 && s[i] < 127 {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// millis is a time as CEF writes it.
func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
