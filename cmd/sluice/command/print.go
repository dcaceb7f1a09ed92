package command

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// format is the value of the flag -o.
type format struct {
	value   string
	allowed []string
}

// String returns the format.
func (f *format) String() string { return f.value }

// Type is what help calls the value.
func (f *format) Type() string { return strings.Join(f.allowed, "|") }

// Set refuses what is not allowed.
func (f *format) Set(v string) error {
	if !slices.Contains(f.allowed, v) {
		return fmt.Errorf("the format must be one of %s", strings.Join(f.allowed, ", "))
	}
	f.value = v
	return nil
}

// flag adds -o to a command; the first of the allowed formats is the default.
func (f *format) flag(cmd *cobra.Command, allowed ...string) {
	f.allowed, f.value = allowed, allowed[0]
	cmd.Flags().VarP(f, "output", "o", "format of the output")
	fixed(cmd, "output", allowed...)
}

// fixed completes the values of a flag.
func fixed(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag does not exist: a defect that every run would show
	}
}

// output is how a command prints lists.
type output struct {
	format    format
	noHeaders bool
}

// flags adds -o and --no-headers.
func (o *output) flags(cmd *cobra.Command) {
	o.format.flag(cmd, "table", "wide", "json", "yaml")
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "leave out the heading of a table")
}

// column is one column of a table.
type column[T any] struct {
	name  string
	wide  bool // only with -o wide
	value func(T) string
}

// list prints items as a table or as one JSON or YAML list.
func list[T any](w io.Writer, o output, items []T, columns []column[T]) error {
	if items == nil {
		items = []T{}
	}
	if done, err := document(w, o.format.value, items); done {
		return err
	}
	shown := slices.DeleteFunc(slices.Clone(columns), func(c column[T]) bool { return c.wide && o.format.value != "wide" })
	var rows [][]string
	if !o.noHeaders {
		var head []string
		for _, c := range shown {
			head = append(head, c.name)
		}
		rows = append(rows, head)
	}
	for _, item := range items {
		var row []string
		for _, c := range shown {
			row = append(row, c.value(item))
		}
		rows = append(rows, row)
	}
	return table(w, rows)
}

// table prints rows with aligned columns. Empty cells become "-", so that every row has as many words for scripts.
func table(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if cell == "" {
				cell = "-"
			}
			row[i] = oneLine(cell)
		}
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}

// oneLine keeps names that others chose from breaking a table or commanding the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return '?'
		}
		return r
	}, s)
}

// document prints v if the format is json or yaml, and says whether it is.
func document(w io.Writer, format string, v any) (bool, error) {
	var b []byte
	var err error
	switch format {
	case "json":
		b, err = json.MarshalIndent(v, "", "  ")
		b = append(b, '\n')
	case "yaml":
		b, err = yaml.Marshal(v)
	default:
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("encode output: %w", err)
	}
	_, err = w.Write(b)
	return true, err
}

// fact is one line of a description.
type fact struct{ name, value string }

// facts prints a description; facts without a value are left out.
func facts(w io.Writer, all []fact) error {
	tw := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	for _, f := range all {
		if f.value != "" {
			fmt.Fprintf(tw, "%s\t%s\n", f.name, oneLine(f.value))
		}
	}
	return tw.Flush()
}

// describe prints one description each, an empty line between them, or one JSON or YAML list.
func describe[T any](w io.Writer, o output, items []T, about func(T) []fact) error {
	if done, err := document(w, o.format.value, items); done {
		return err
	}
	for i, item := range items {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := facts(w, about(item)); err != nil {
			return err
		}
	}
	return nil
}

// short returns the first 12 characters of an id.
func short(id string) string { return id[:min(12, len(id))] }

// pairs returns k=v sorted, with commas.
func pairs(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// yesNo returns yes or no.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// size returns bytes with a binary unit.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// ago returns how long before now t was, rounded to what matters.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := now.Sub(t)
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// stringer returns v's text, empty for zero addresses and prefixes.
func stringer(v interface {
	IsValid() bool
	String() string
}) string {
	if !v.IsValid() {
		return ""
	}
	return v.String()
}
