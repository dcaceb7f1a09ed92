package export

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/export/sinktest"
)

const all = `# Three receivers.
exports:
- name: audit
  type: file
  path: /var/log/sluice/flows.json
  mode: "0640"
  rotate: {size: 10MiB, every: 24h, keep: 3, age: 30d, compress: true}
  include:
  - verdict: [DROPPED, AUDIT]
    source_pod: [shop/]
  - {destination_port: ["5432"], event_type: [{type: 4}]}
  exclude:
  - source_ip: ["10.9.0.0/16"]
  fieldMask: [time, verdict, source.pod_name]
- name: traces
  type: otlp
  endpoint: https://otel.example.com:4317
  headers: {authorization: Bearer x}
  tls: {ca: /etc/ssl/otel.pem}
  batch: {size: 1000, delay: 2s, queue: 5000}
  logs: false
- name: siem
  type: syslog
  address: tls://siem.example.com
  facility: audit
`

func TestParse(t *testing.T) {
	got, err := Parse("x.yaml", []byte(all))
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	file, otlp, syslog := got[0], got[1], got[2]
	if file.File.Path != "/var/log/sluice/flows.json" || file.File.Rotate.Size != 10<<20 || *file.File.Rotate.Keep != 3 ||
		time.Duration(file.File.Rotate.Age) != 30*24*time.Hour || len(file.Include) != 2 || len(file.Exclude) != 1 ||
		file.Include[0].GetSourcePod()[0] != "shop/" || len(file.FieldMask) != 3 || file.batchSize() != defaultBatch {
		t.Errorf("%+v %+v", file, file.File)
	}
	if otlp.OTLP.Endpoint != "https://otel.example.com:4317" || otlp.batchSize() != 1000 || otlp.delay() != 2*time.Second || otlp.Batch.Queue != 5000 ||
		otlp.OTLP.TLS.CA != "/etc/ssl/otel.pem" || *otlp.OTLP.Logs {
		t.Errorf("%+v %+v", otlp, otlp.OTLP)
	}
	if syslog.Syslog.Facility != "audit" || syslog.delay() != 200*time.Millisecond {
		t.Errorf("%+v %+v", syslog, syslog.Syslog)
	}
	for _, text := range []string{"exports: []", "# nothing\n", "exports:\n", "---\nexports: []\n---\nexports: []\n"} {
		if got, err := Parse("x.yaml", []byte(text)); err != nil || len(got) != 0 {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	export := func(lines ...string) string {
		return "exports:\n- name: a\n  type: file\n  path: /x\n  " + strings.Join(lines, "\n  ")
	}
	for text, want := range map[string]string{
		"":                                                 "x.yaml: the file is empty: remove it, or write exports: [] if its exports are to go",
		"exports: {":                                       "x.yaml:1: ",
		"export: []":                                       "x.yaml:1: export: unknown field, there are exports",
		"[]":                                               "x.yaml:1: expected fields",
		"exports: [a]":                                     "x.yaml:1: exports[0]: an export is a list of fields",
		"exports: 5":                                       "x.yaml:1: cannot unmarshal",
		"exports: [{name: a}]":                             `x.yaml:1: exports[0].type: "" is none of file, otlp and syslog`,
		"exports: [{type: kafka}]":                         `exports[0].type: "kafka" is none of`,
		"exports: [{type: file, path: /x}]":                "exports[0].name: an export needs one",
		"exports: [{type: file, name: a b}]":               `exports[0].name: "a b" is not up to 63`,
		"exports: [{type: file, name: a}]":                 `exports[0].path: "" is not an absolute path`,
		export("pth: /y"):                                  "x.yaml:5: exports[0].pth: unknown field, there are batch, exclude, fieldMask",
		export("rotate: {sise: 5MB}"):                      "x.yaml:5: exports[0].rotate.sise: unknown field, there are age, compress, every, keep, size",
		export("rotate: {size: 5 apples}"):                 `"5 apples" is not a size`,
		export("rotate: {every: soon}"):                    `"soon" is not a time`,
		export("rotate: {keep: many}"):                     "x.yaml:5: cannot unmarshal",
		export("endpoint: http://h"):                       "x.yaml:5: exports[0].endpoint: unknown field",
		export("batch: {size: 100000}"):                    "x.yaml:2: exports[0].batch.size: must be from 1 to 8192",
		export("batch: {delay: 5m}"):                       "batch.delay: must be at most 1m0s",
		export("batch: {queue: -1}"):                       "batch.queue: must not be negative",
		export("include:", "- {verdict: [DROPED]}"):        "x.yaml:6: exports[0].include[0]: invalid value for enum field verdict",
		export("include:", "- {}", "- {sorce_pod: [a]}"):   `x.yaml:7: exports[0].include[1]: unknown field "sorce_pod"`,
		export("exclude: [DROPPED]"):                       "x.yaml:5: exports[0].exclude[0]: a filter is a list of fields",
		export("include: [{source_ip: [10.0.0.0/99]}]"):    "x.yaml:2: exports[0].include: ",
		export("fieldMask: [sorce]"):                       `exports[0].fieldMask: read field mask: flows have no field "sorce"`,
		export("path: /y"):                                 "x.yaml:5: path stands twice",
		export("<<: {path: /y}"):                           "x.yaml:5: keys are plain strings",
		"a: &x [1]\nexports: *x":                           "aliases are not supported",
		export("") + "\n- {name: a, type: file, path: /y}": "x.yaml:6: exports[1].name: a stands twice",
		"exports:\n" + strings.Repeat("- {name: a, type: file, path: /x}\n", 2): "stands twice",
	} {
		_, err := Parse("x.yaml", []byte(text))
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "\u00a0", " "), want) {
			t.Errorf("%s\n%v\nwant %s", text, err, want)
		}
	}
}

// FuzzParse checks that no text breaks the parser, that a fault has the file's name, and that what is accepted can be made.
func FuzzParse(f *testing.F) {
	f.Add(all)
	f.Add("exports: [{name: a, type: syslog, address: 'unix:///dev/log', include: [{}]}]")
	f.Add("exports: [{name: a, type: otlp, endpoint: http://h, protocol: http, resource: {a: b}}]")
	f.Add("exports: &a [*a]")
	f.Add("exports:\n- !!binary x")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse("x.yaml", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x.yaml:") {
				t.Errorf("%v", err)
			}
			return
		}
		for _, c := range got {
			if _, err := c.match(sinktest.Converter); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			s, err := c.open("node", "1")
			if err != nil {
				t.Errorf("%+v: %v", c, err)
				continue
			}
			if s.Target() == "" || strings.Contains(s.Target(), "Bearer") {
				t.Errorf("target %q", s.Target())
			}
			_ = s.Close()
		}
	})
}

// TestMatch: what is exported if nobody says which.
func TestMatch(t *testing.T) {
	flows := map[string]*observe.Flow{"closed": sinktest.Closed(4), "dropped": sinktest.Dropped(6), "lost": sinktest.Lost(3)}
	for _, c := range []struct{ text, want string }{
		{"type: file, path: /x", "closed dropped lost"},
		{"type: syslog, address: 'udp://h'", "dropped lost"},
		{"type: syslog, address: 'udp://h', include: [{}]", "closed dropped lost"},
		{"type: syslog, address: 'udp://h', exclude: [{verdict: [DROPPED]}]", "lost"},
		{"type: file, path: /x, include: [{verdict: [FORWARDED]}]", "closed lost"},
		{"type: file, path: /x, include: [{verdict: [FORWARDED]}, {ip_version: [IPv6]}], exclude: [{verdict: [DROPPED]}]", "closed lost"},
	} {
		got, err := Parse("x", []byte("exports: [{name: a, "+c.text+"}]"))
		if err != nil {
			t.Fatal(err)
		}
		match, err := got[0].match(sinktest.Converter)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, name := range []string{"closed", "dropped", "lost"} {
			if match(flows[name]) {
				names = append(names, name)
			}
		}
		if s := strings.Join(names, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.text, s, c.want)
		}
	}
}

// TestExamples loads the examples.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../contrib/examples/export/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	names, types := map[string]bool{}, map[string]bool{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(path, text)
		if err != nil || len(got) == 0 {
			t.Errorf("%d exports, %v", len(got), err)
		}
		for _, c := range got {
			if names[c.Name] {
				t.Errorf("%s: the name %s stands in another example", path, c.Name)
			}
			names[c.Name], types[c.Type] = true, true
		}
	}
	if len(types) != 3 {
		t.Errorf("examples of %v", types)
	}
}
