package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-net/sluice/integration/hosts"
)

// step is a command of a documented session with the lines that it is said to print.
type step struct {
	command string
	prints  []string
}

// parseSession reads the "$ COMMAND" lines of code, indented or fenced, and what follows each, below a heading of a
// Markdown text. A fenced block that begins otherwise is no session.
func parseSession(text, heading string) []step {
	_, text, _ = strings.Cut(text, heading+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var steps []step
	fenced, session := false, true
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "```") {
			fenced, session = !fenced, fenced
			continue
		}
		code, isCode := strings.CutPrefix(line, "    ")
		if fenced {
			code, isCode = line, true
		}
		command, typed := strings.CutPrefix(code, "$ ")
		session = session || typed && fenced
		switch {
		case typed && isCode:
			steps = append(steps, step{command: command})
		case isCode && session && len(steps) > 0:
			last := &steps[len(steps)-1]
			last.prints = append(last.prints, code)
		}
	}
	return steps
}

// varying is what differs from run to run: ids, times, addresses, ports and other numbers. How many endpoints a command
// waited for is one of them: another's regeneration may be under way.
var varying = regexp.MustCompile(`\b[0-9a-f]{12}\b|\b[A-Z][a-z]{2} \d+ [\d:.]+|\d+ endpoints?|[\d.]*\d`)

// matches says whether a command printed what it is said to, but for what varies.
func (s step) matches(printed string) bool {
	plain := func(text string) string { return varying.ReplaceAllString(strings.TrimSpace(text), "N") }
	return plain(strings.Join(s.prints, "\n")) == plain(printed)
}

// runSession types a document's session in the project's folder: session FILE HEADING. What nothing is said to be
// printed of must succeed, the rest must print it.
func runSession(s *scene, ts *testscript.TestScript, args []string) error {
	if len(args) != 2 {
		ts.Fatalf("usage: session FILE HEADING")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	steps := parseSession(string(text), args[1])
	if len(steps) == 0 {
		return fmt.Errorf("%s: there is no session below %q", args[0], args[1])
	}
	for _, step := range steps {
		if err := s.try(step, filepath.Dir(args[0])); err != nil {
			return err
		}
		ts.Logf("$ %s", step.command)
	}
	return nil
}

// try runs a step until it does what is said of it: a container that was just started may not serve yet.
func (s *scene) try(step step, dir string) error {
	ctx, cancel := withTimeout()
	defer cancel()
	if step.prints == nil {
		_, err := s.host.Output(ctx, "sh", "-c", `cd "$0" && `+step.command, dir)
		return err
	}
	return hosts.Poll(settleTime, func() error {
		out, err := s.host.Command(ctx, "sh", "-c", `cd "$0" && `+step.command, dir).Output()
		if step.matches(string(out)) {
			return nil
		}
		return errors.Join(fmt.Errorf("%s printed:\n%s\nnot:\n%s", step.command, out, strings.Join(step.prints, "\n")), err)
	})
}
