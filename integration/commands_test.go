package integration

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-net/sluice/integration/hosts"
)

// settleTime is how long what happens in the background may take.
const settleTime = 15 * time.Second

// command is a script's command: it returns an error where a shell would return a status.
type command func(s *scene, ts *testscript.TestScript, args []string) error

// simpleCommands are those that wait-until may repeat.
func simpleCommands() map[string]command {
	return map[string]command{
		"docker":  runDocker,
		"compose": runCompose,
		"sluice":  runSluice,
		"probe":   runProbe,
		"outside": runOutside,
		"far":     runFar,
		"host":    runHost,
		"hubble":  runHubble,

		"hubble-old": runHubbleOld,
	}
}

// scriptCommands are all commands that scripts have beyond testscript's own.
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	all := simpleCommands()
	all["wait-until"] = waitUntil
	all["daemon"] = controlDaemon
	all["dockerd"] = controlDocker
	all["snapshot"] = takeSnapshot
	all["compare"] = compareSnapshot
	all["setvar"] = setVariable
	all["random-kills"] = randomKills
	all["session"] = runSession
	all["agree"] = checkAgreement
	all["recipes"] = runRecipes
	all["hubble-clients"] = getHubble
	all["hubble-filters"] = countFilters
	all["dashboards"] = runDashboards
	all["collector"] = getCollector
	all["browser"] = runBrowser
	adapted := map[string]func(*testscript.TestScript, bool, []string){}
	for name, c := range all {
		adapted[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			err := c(ts.Value(sceneKey{}).(*scene), ts, args)
			switch {
			case err != nil && !neg:
				ts.Fatalf("%s: %v", name, err)
			case err == nil && neg:
				ts.Fatalf("%s succeeded, and should not have", name)
			}
		}
	}
	return adapted
}

// run runs argv on the machine, with a time limit, and keeps its output for stdout and stderr.
func run(ts *testscript.TestScript, argv ...string) error {
	limit := strconv.Itoa(int(commandTimeout.Seconds()))
	return ts.Exec("timeout", append([]string{"-k", "1", limit}, argv...)...)
}

func inHost(s *scene, ts *testscript.TestScript, argv ...string) error {
	return run(ts, s.host.Args(ts.MkAbs("."), argv...)...)
}

func runDocker(_ *scene, ts *testscript.TestScript, args []string) error {
	return run(ts, append([]string{"docker"}, args...)...)
}

func runCompose(_ *scene, ts *testscript.TestScript, args []string) error {
	return run(ts, append([]string{"docker", "compose"}, args...)...)
}

func runSluice(s *scene, ts *testscript.TestScript, args []string) error {
	return inHost(s, ts, append([]string{"sluice"}, args...)...)
}

// runProbe runs probe in a container: probe CONTAINER COMMAND…
func runProbe(_ *scene, ts *testscript.TestScript, args []string) error {
	if len(args) < 2 {
		ts.Fatalf("usage: probe CONTAINER COMMAND [ARG...]")
	}
	return run(ts, append([]string{"docker", "exec", args[0], "probe"}, args[1:]...)...)
}

func runOutside(s *scene, ts *testscript.TestScript, args []string) error {
	return run(ts, s.host.Outside("outside", ts.MkAbs("."), args...)...)
}

func runFar(s *scene, ts *testscript.TestScript, args []string) error {
	return run(ts, s.host.Outside("far", ts.MkAbs("."), args...)...)
}

func runHost(s *scene, ts *testscript.TestScript, args []string) error {
	return inHost(s, ts, args...)
}

// browserTimeout bounds a script that drives a browser.
const browserTimeout = 3 * time.Minute

// runBrowser runs a script of ui/browser, which drives Chromium, in the host: browser SCRIPT [ARG...]
func runBrowser(s *scene, ts *testscript.TestScript, args []string) error {
	if len(args) == 0 {
		ts.Fatalf("usage: browser SCRIPT [ARG...]")
	}
	script := filepath.Join(ts.Getenv("ROOT"), "ui", "browser", args[0])
	limit := strconv.Itoa(int(browserTimeout.Seconds()))
	return ts.Exec("timeout", append([]string{"-k", "1", limit}, s.host.Args(ts.MkAbs("."), append([]string{"node", script}, args[1:]...)...)...)...)
}

// waitUntil repeats a command until it succeeds, or fails after "!"; -match wants a pattern in its output as well, -for
// gives it longer than things usually take.
func waitUntil(s *scene, ts *testscript.TestScript, args []string) error {
	var pattern *regexp.Regexp
	within := settleTime
	if len(args) > 2 && args[0] == "-for" {
		var err error
		if within, err = time.ParseDuration(args[1]); err != nil {
			ts.Fatalf("wait-until -for %s: %v", args[1], err)
		}
		args = args[2:]
	}
	if len(args) > 2 && args[0] == "-match" {
		pattern = regexp.MustCompile(args[1])
		args = args[2:]
	}
	neg := len(args) > 1 && args[0] == "!"
	if neg {
		args = args[1:]
	}
	if len(args) == 0 || simpleCommands()[args[0]] == nil {
		ts.Fatalf("usage: wait-until [-for TIME] [-match PATTERN] [!] COMMAND [ARG...], with a command of %v", simpleNames())
	}
	return hosts.Poll(within, func() error {
		err := simpleCommands()[args[0]](s, ts, args[1:])
		if neg && err == nil {
			return fmt.Errorf("%s still succeeds", strings.Join(args, " "))
		}
		if neg {
			err = nil
		}
		if err == nil && pattern != nil && !pattern.MatchString(ts.ReadFile("stdout")) {
			return fmt.Errorf("%s: no match for %s in:\n%s", strings.Join(args, " "), pattern, ts.ReadFile("stdout"))
		}
		return err
	})
}

func simpleNames() []string {
	names := []string{}
	for name := range simpleCommands() {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// setVariable keeps what the last command printed: setvar NAME [PATTERN], the pattern's group if it has one.
func setVariable(_ *scene, ts *testscript.TestScript, args []string) error {
	value := strings.TrimSpace(ts.ReadFile("stdout"))
	if len(args) == 2 {
		match := regexp.MustCompile(args[1]).FindStringSubmatch(value)
		if match == nil {
			return fmt.Errorf("no match for %s in %q", args[1], value)
		}
		value = match[len(match)-1]
	}
	ts.Setenv(args[0], value)
	return nil
}

// controlDaemon is "daemon start [OPTION…]", stop, kill, restart, or second: a second daemon on the same directories,
// which must end by itself.
func controlDaemon(s *scene, ts *testscript.TestScript, args []string) error {
	if len(args) == 0 {
		ts.Fatalf("usage: daemon start|stop|kill|restart|second [OPTION...]")
	}
	switch args[0] {
	case "start":
		s.daemon = args[1:]
		return s.host.StartDaemon(s.daemon...)
	case "stop":
		return s.host.StopDaemon(syscall.SIGTERM)
	case "kill":
		return s.host.StopDaemon(syscall.SIGKILL)
	case "restart":
		if err := s.host.StopDaemon(syscall.SIGTERM); err != nil {
			return err
		}
		return s.host.StartDaemon(args[1:]...)
	case "second":
		argv := []string{filepath.Join(s.host.Bin, "sluiced"), "--state-dir", s.host.StateDir(), "--policy-dir", s.host.PolicyDir(),
			"--export-dir", s.host.ExportDir()}
		return inHost(s, ts, append(argv, args[1:]...)...)
	}
	ts.Fatalf("unknown: daemon %s", args[0])
	return nil
}

// controlDocker is "dockerd start [OPTION…]", stop, kill or restart.
func controlDocker(s *scene, ts *testscript.TestScript, args []string) error {
	if len(args) == 0 {
		ts.Fatalf("usage: dockerd start|stop|kill|restart [OPTION...]")
	}
	switch args[0] {
	case "start":
		return s.host.StartDocker(args[1:]...)
	case "stop":
		return s.host.StopDocker(syscall.SIGTERM)
	case "kill":
		return s.host.StopDocker(syscall.SIGKILL)
	case "restart":
		if err := s.host.StopDocker(syscall.SIGTERM); err != nil {
			return err
		}
		return s.host.StartDocker(args[1:]...)
	}
	ts.Fatalf("unknown: dockerd %s", args[0])
	return nil
}

func takeSnapshot(s *scene, _ *testscript.TestScript, _ []string) error {
	ctx, cancel := withTimeout()
	defer cancel()
	got, err := s.host.Snapshot(ctx)
	s.taken = &got
	return err
}

// compareSnapshot is "compare", or "compare DURATION" for what takes longer than things usually do.
func compareSnapshot(s *scene, ts *testscript.TestScript, args []string) error {
	if s.taken == nil {
		ts.Fatalf("compare without a snapshot before it")
	}
	within := settleTime
	if len(args) > 0 {
		var err error
		if within, err = time.ParseDuration(args[0]); err != nil {
			ts.Fatalf("usage: compare [DURATION]")
		}
	}
	return s.same(*s.taken, within)
}

// inPath makes sure that a binary of the project exists before the first script needs it.
func inPath(bin string, names ...string) error {
	for _, name := range names {
		if _, err := exec.LookPath(filepath.Join(bin, name)); err != nil {
			return fmt.Errorf("find %s: %w (make build makes it)", name, err)
		}
	}
	return nil
}

// getCollector is "collector": it sets $COLLECTOR to a program that takes OTLP, and builds it first if it must.
func getCollector(_ *scene, ts *testscript.TestScript, _ []string) error {
	path, err := hosts.GetCollector()
	ts.Setenv("COLLECTOR", path)
	return err
}
