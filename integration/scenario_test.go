package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-net/sluice/integration/hosts"
	"github.com/sluice-net/sluice/internal/testutil"
)

// enginesEnv limits the run to some engines, by suite, with commas.
const enginesEnv = "SLUICE_TEST_ENGINES"

// failer is what a script's test knows beyond testscript.T.
type failer interface{ Failed() bool }

func TestPrivilegedScenarios(t *testing.T) {
	testutil.Privileged(t)
	for _, suite := range suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			engine, err := hosts.GetEngine(suite)
			if err != nil {
				t.Fatal(err)
			}
			bin, err := filepath.Abs("../bin")
			if err != nil {
				t.Fatal(err)
			}
			if err := inPath(bin, "sluiced", "sluice", "probe"); err != nil {
				t.Fatal(err)
			}
			p := &pool{engine: engine, bin: bin}
			t.Cleanup(func() {
				if err := p.close(); err != nil {
					t.Error(err)
				}
			})
			testscript.Run(t, testscript.Params{
				Dir:                "testdata",
				RequireUniqueNames: true,
				Setup:              p.setup,
				Cmds:               scriptCommands(),
				Condition:          func(cond string) (bool, error) { return condition(engine, cond) },
			})
		})
	}
}

func suites() []string {
	if chosen := os.Getenv(enginesEnv); chosen != "" {
		return strings.Split(chosen, ",")
	}
	return hosts.Suites()
}

// condition knows [old] and [new], the engine before and since version 28, and [splits], since 29.
func condition(engine hosts.Engine, cond string) (bool, error) {
	switch cond {
	case "old":
		return engine.Old(), nil
	case "new":
		return !engine.Old(), nil
	case "splits":
		return engine.Splits(), nil
	}
	return false, fmt.Errorf("unknown condition %q: old, new and splits are known", cond)
}

// setup gives a script its host, and takes it back at the end.
func (p *pool) setup(env *testscript.Env) error {
	s, err := p.take()
	if err != nil {
		return err
	}
	env.Values[sceneKey{}] = s
	for _, v := range s.host.Vars() {
		name, value, _ := strings.Cut(v, "=")
		env.Setenv(name, value)
	}
	if err := writeWrappers(env, s.host); err != nil {
		return err
	}
	env.Setenv("STATE", s.host.StateDir())
	env.Setenv("POLICIES", s.host.PolicyDir())
	env.Setenv("EXPORTS", s.host.ExportDir())
	env.Setenv("ROOT", filepath.Dir(p.bin))
	t := env.T()
	env.Defer(func() {
		failed := t.(failer).Failed()
		if failed {
			t.Log("sluiced.log:\n" + s.host.Log("sluiced.log"))
			t.Log("docker.log:\n" + s.host.Log("docker.log"))
		}
		if err := p.give(s, failed); err != nil {
			t.Fatal(err)
		}
	})
	return nil
}

// writeWrappers puts the commands in-host, in-outside and in-far in PATH, for what scripts run in the background with
// exec. They don't enter the host's processes: that needs a fork, and then a signal would not reach the program.
func writeWrappers(env *testscript.Env, h *hosts.Host) error {
	dir := filepath.Join(env.WorkDir, ".bin")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	env.Setenv("PATH", dir+":"+env.Getenv("PATH"))
	enter := fmt.Sprintf("exec nsenter -t %d -m -n -u -i -- ", h.PID())
	for name, inside := range map[string]string{
		"in-host": `"$@"`, "in-outside": `ip netns exec outside "$@"`, "in-far": `ip netns exec far "$@"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+enter+inside+"\n"), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// commandTimeout bounds every command of a script.
const commandTimeout = time.Minute

func withTimeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), commandTimeout)
}
