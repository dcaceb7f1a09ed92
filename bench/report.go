package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

// report prints the rows and writes what was asked for. It returns how many gates were missed.
func report(o options, rows []row) (missed int, err error) {
	printTable(os.Stdout, rows)
	for _, r := range rows {
		if r.missed() {
			missed++
		}
	}
	if missed > 0 {
		fmt.Printf("\n%d of the gates are missed:\n", missed)
		for _, r := range rows {
			if r.missed() {
				fmt.Printf("  %s: %s, demanded %s\n", r.title(), r.judged(), r.gate())
			}
		}
	}
	if o.json != "" {
		text, err := json.MarshalIndent(struct {
			Rounds int    `json:"rounds"`
			Seed   uint64 `json:"seed"`
			Rows   []row  `json:"rows"`
		}{o.rounds, o.seed, rows}, "", "  ")
		if err != nil {
			return missed, err
		}
		if err := os.WriteFile(o.json, append(text, '\n'), 0o644); err != nil {
			return missed, fmt.Errorf("write results: %w", err)
		}
	}
	return missed, nil
}

func printTable(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MEASURE\tSLUICE\tAGAINST\tITS VALUE\tRATIO\tIQR\tGATE\t")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Measure, r.value(), r.Against, r.other(), r.ratio(), r.iqr(), r.gate(), r.verdict())
	}
	t.Flush()
}

// compared says whether the row is a comparison.
func (r row) compared() bool { return r.Against != "" }

func (r row) title() string {
	if !r.compared() {
		return r.Measure
	}
	return r.Measure + ", against " + r.Against
}

func (r row) quantity(v float64) string { return fmt.Sprintf("%.3g %s", v, r.Unit) }
func (r row) value() string             { return r.quantity(r.Value) }

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
