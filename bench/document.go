package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The markers between which the results stand in the document.
const (
	beginMarker = "<!-- bench: begin -->"
	endMarker   = "<!-- bench: end -->"
)

// writeDocument puts the results into performance.md and draws the chart.
func writeDocument(o options, rows []row, traffic samples, machine string) error {
	path := filepath.Join(o.docs, "performance.md")
	before, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		before, err = []byte("# Performance\n\n"+beginMarker+"\n"+endMarker+"\n"), nil
	}
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	after, err := insert(before, results(o, rows, machine))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.WriteFile(path, after, 0o644); err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	drawing := chart("Cost relative to a bare veth pair (shorter is better)", groupsOf(traffic))
	if err := os.WriteFile(filepath.Join(o.docs, "performance.svg"), []byte(drawing), 0o644); err != nil {
		return fmt.Errorf("write chart: %w", err)
	}
	return nil
}

// insert replaces what stands between the markers.
func insert(document []byte, text string) ([]byte, error) {
	head, rest, found := bytes.Cut(document, []byte(beginMarker))
	_, tail, closed := bytes.Cut(rest, []byte(endMarker))
	if !found || !closed {
		return nil, fmt.Errorf("it lacks the markers %s and %s", beginMarker, endMarker)
	}
	var b bytes.Buffer
	b.Write(head)
	fmt.Fprintf(&b, "%s\n%s%s", beginMarker, text, endMarker)
	b.Write(tail)
	return b.Bytes(), nil
}

// results is the table, with the machine and the run that it comes from.
func results(o options, rows []row, machine string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %d rounds of %v each, %s.\n\n", machine, o.rounds, o.slice, o.start.UTC().Format("January 2006"))
	b.WriteString("| measure | Sluice | against | its value | ratio | quartiles | gate | |\n|---|--:|---|--:|--:|--:|--:|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", r.Measure, r.value(), r.against(), r.other(), r.ratio(),
			r.iqr(), r.gate(), strings.ToLower(r.verdict()))
	}
	b.WriteString("\n")
	for _, r := range rows {
		if r.Note != "" {
			fmt.Fprintf(&b, "- %s: %s.\n", r.Measure, r.Note)
		}
	}
	return b.String()
}

// machine says on what it was measured: processor, kernel, engine.
func machine(engine string) string {
	var u unix.Utsname
	release := "Linux"
	if unix.Uname(&u) == nil {
		release += " " + unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Sprintf("%d × %s, %s, Docker %s", runtime.NumCPU(), processor(), release, engine)
}

// processor is the model's name, or else the architecture.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}

// elapsed rounds how long the run took.
func (o options) elapsed() time.Duration { return time.Since(o.start).Round(time.Second) }
