package command

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

// waiting is the flags of commands that can wait for their effect.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func (w *waiting) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.wait, "wait", false, "return when every packet is judged by the change")
	cmd.Flags().DurationVar(&w.timeout, "timeout", api.DefaultWait, "how long to wait (with --wait)")
	fixed(cmd, "timeout", "10s", "30s", "1m", "5m")
}

func (w *waiting) request() api.Waiting { return api.Waiting{Wait: w.wait, Timeout: w.timeout} }

// printChange prints what a change did. A program that could not be made is an error: the change is not everywhere
// in effect.
func (a *app) printChange(format, what string, c api.Change, waited bool) error {
	if done, err := document(a.Out, format, c); done {
		if err != nil {
			return err
		}
		return failures(c.Regenerations)
	}
	for _, p := range c.Policies {
		a.printResult(p)
	}
	bad := len(failed(c.Regenerations))
	regenerated := count(len(c.Regenerations)-bad, "endpoint") + " regenerated"
	switch {
	case !waited && len(c.Policies) == 0:
		fmt.Fprintf(a.Out, "%s changed: revision %d\n", what, c.Revision)
	case waited && bad > 0:
		fmt.Fprintf(a.Out, "revision %d is not in effect everywhere: %s, %d not\n", c.Revision, regenerated, bad)
	case waited:
		fmt.Fprintf(a.Out, "revision %d is in effect, %s\n", c.Revision, regenerated)
	}
	return failures(c.Regenerations)
}

func (a *app) printResult(p api.PolicyResult) {
	selects := "selects"
	if p.Action == api.ActionDeleted {
		selects = "selected"
	}
	fmt.Fprintf(a.Out, "policy %s %s: %s %s\n", p.Name, p.Action, selects, count(p.Endpoints, "endpoint"))
}

// count returns a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// failed returns the regenerations that went wrong.
func failed(all []api.Regeneration) []api.Regeneration {
	var out []api.Regeneration
	for _, r := range all {
		if r.Error != "" {
			out = append(out, r)
		}
	}
	return out
}

// failures returns the error of the regenerations that went wrong.
func failures(all []api.Regeneration) error {
	bad := failed(all)
	if len(bad) == 0 {
		return nil
	}
	e := api.Errorf(api.CodeConflict, "regenerate endpoints: %d of %d failed and run their old programs", len(bad), len(all))
	for _, r := range bad {
		e.Problems = append(e.Problems, api.Problem{Source: "  " + orID(r.Container, r.Endpoint) + "@" + r.Network, Message: r.Error})
	}
	return e
}

func regenerationColumns() []column[api.Regeneration] {
	return []column[api.Regeneration]{
		{name: "ENDPOINT", value: func(r api.Regeneration) string { return short(r.Endpoint) }},
		{name: "CONTAINER", value: func(r api.Regeneration) string { return r.Container }},
		{name: "NETWORK", value: func(r api.Regeneration) string { return r.Network }},
		{name: "REVISION", value: func(r api.Regeneration) string { return strconv.Itoa(int(r.Revision)) }},
		{name: "TOOK", value: func(r api.Regeneration) string { return r.Took.Round(10 * time.Microsecond).String() }},
		{name: "RESULT", value: func(r api.Regeneration) string {
			if r.Error != "" {
				return "failed"
			}
			return "ok"
		}},
	}
}

// orID returns the name, or the short id of what has none.
func orID(name, id string) string {
	if name == "" {
		return short(id)
	}
	return name
}

// named returns the name with the id behind it.
func named(name, id string) string {
	if name == "" || id == "" {
		return name + id
	}
	return name + " (" + id + ")"
}

// address returns a prefix's address, empty if there is none.
func address(p netip.Prefix) string { return stringer(p.Addr()) }

// enforced says what restricts one direction of an endpoint.
func enforced(e api.Endpoint, d api.Direction) string {
	switch {
	case e.State == api.StateClosed:
		return "closed"
	case d.Enforced:
		return "enforced"
	}
	return "open"
}
