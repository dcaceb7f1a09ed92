package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// report prints the rows and writes what was asked for. It returns how many gates were missed.
func report(o options, rows []row, traffic samples, machine string) (missed int, err error) {
	fmt.Printf("%s; %d rounds, seed %d, %v\n\n", machine, o.rounds, o.seed, o.elapsed())
	printTable(os.Stdout, rows)
	missed = printMisses(os.Stdout, rows)
	if o.json != "" {
		if err := writeJSON(o, rows, traffic, machine); err != nil {
			return missed, err
		}
	}
	if o.docs != "" && !o.quick {
		return missed, writeDocument(o, rows, traffic, machine)
	}
	return missed, nil
}

// printMisses lists the gates that are missed and counts them.
func printMisses(w io.Writer, rows []row) (missed int) {
	for _, r := range rows {
		if !r.missed() {
			continue
		}
		if missed++; missed == 1 {
			fmt.Fprintln(w, "\nMissed:")
		}
		fmt.Fprintf(w, "  %s: %s, demanded %s\n", r.title(), r.judged(), r.gate())
	}
	return missed
}

// writeJSON writes the rows and every sample that traffic gave.
func writeJSON(o options, rows []row, traffic samples, machine string) error {
	type series struct {
		Path   string    `json:"path"`
		Mode   string    `json:"mode"`
		Values []float64 `json:"values"` // µs, for a stream seconds of CPU per GB; one a round
	}
	result := struct {
		Machine string   `json:"machine"`
		Rounds  int      `json:"rounds"`
		Seed    uint64   `json:"seed"`
		Rows    []row    `json:"rows"`
		Traffic []series `json:"traffic"`
	}{machine, o.rounds, o.seed, rows, nil}
	for _, t := range tasks() {
		result.Traffic = append(result.Traffic, series{t.path, string(t.mode), traffic[t]})
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err == nil {
		err = os.WriteFile(o.json, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

func printTable(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MEASURE\tSLUICE\tAGAINST\tITS VALUE\tRATIO\tQUARTILES\tGATE\t")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Measure, r.value(), r.against(), r.other(), r.ratio(), r.iqr(), r.gate(), r.verdict())
	}
	t.Flush()
	fmt.Fprintln(w)
	for _, r := range rows {
		if r.Note != "" {
			fmt.Fprintf(w, "%s: %s.\n", r.Measure, r.Note)
		}
	}
}

// compared says whether the row is a comparison.
func (r row) compared() bool { return r.Against != "" }

func (r row) title() string {
	if !r.compared() {
		return r.Measure
	}
	return r.Measure + ", against " + r.Against
}

func (r row) quantity(v float64) string { return strings.TrimSpace(fmt.Sprintf("%.3g %s", v, r.Unit)) }
func (r row) value() string             { return r.quantity(r.Value) }

// against names the other, or says that there is none.
func (r row) against() string {
	if !r.compared() {
		return "–"
	}
	return r.Against
}

func (r row) other() string {
	if !r.compared() {
		return "–"
	}
	return r.quantity(r.Other)
}

func (r row) ratio() string {
	if !r.compared() {
		return "–"
	}
	return fmt.Sprintf("%.3f", r.Judged)
}

func (r row) judged() string {
	if !r.compared() {
		return r.value()
	}
	return r.ratio()
}

func (r row) iqr() string {
	if !r.compared() {
		return fmt.Sprintf("%.3g–%.3g", r.Low, r.High)
	}
	return fmt.Sprintf("%.3f–%.3f", r.Low, r.High)
}

func (r row) gate() string {
	switch {
	case !r.Gated:
		return "–"
	case !r.compared():
		return "≤ " + r.quantity(r.Gate)
	}
	return fmt.Sprintf("≤ %.2f", r.Gate)
}

func (r row) verdict() string {
	switch {
	case !r.Gated:
		return ""
	case r.missed():
		return "MISS"
	}
	return "PASS"
}
