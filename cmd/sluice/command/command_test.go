package command

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server"
	"github.com/sluice-net/sluice/api/server/servertest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	time.Local = time.UTC // events print local time
	os.Exit(m.Run())
}

// result is what a run left.
type result struct {
	code     int
	out, err string
}

// sluice runs one command line against a daemon with the backend of f.
func sluice(t *testing.T, f *servertest.Fake, args ...string) result {
	t.Helper()
	return sluiceOf(t, f.Backend(), args...)
}

// sluiceOf is sluice with a backend.
func sluiceOf(t *testing.T, b server.Backend, args ...string) result {
	t.Helper()
	socket := servertest.Serve(t, b, server.Options{})
	return run(t, "", append([]string{"sluice", "--socket", socket}, args...)...)
}

// run runs one command line with a standard input.
func run(t *testing.T, in string, argv ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	code := Run(ctx, Process{
		Args: argv, In: strings.NewReader(in), Out: &out, Err: &errs,
		Getenv: func(string) string { return "" },
		Now:    func() time.Time { return servertest.Now },
		Build:  api.Version{Version: "0.1.0", Commit: "0123456789ab", Go: "go1.26", OS: "linux", Arch: "amd64"},
	})
	return result{code, out.String(), errs.String()}
}

// golden compares text with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; go test ./cmd/sluice/command -update writes it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}

// goldenRun runs a command against the sample and compares its output; it must succeed.
func goldenRun(t *testing.T, name string, args ...string) {
	t.Helper()
	got := sluice(t, servertest.Sample(), args...)
	if got.code != exitGood || got.err != "" {
		t.Fatalf("sluice %v: exit code %d, stderr %q", args, got.code, got.err)
	}
	golden(t, name, got.out)
}

func TestHelp(t *testing.T) {
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		name := strings.Join(append([]string{"sluice"}, path...), "-")
		t.Run(name, func(t *testing.T) {
			got := run(t, "", append([]string{"sluice"}, append(path, "--help")...)...)
			if got.code != exitGood || got.err != "" {
				t.Fatalf("exit code %d, stderr %q", got.code, got.err)
			}
			golden(t, filepath.Join("help", name+".txt"), got.out)
		})
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				walk(sub, append(append([]string{}, path...), sub.Name()))
			}
		}
	}
	walk(Tree(), nil)
}

// TestEveryCommandIsDescribed keeps help useful: each command that runs has an example, and no line is too wide.
func TestEveryCommandIsDescribed(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if !cmd.HasSubCommands() && !cmd.Hidden && cmd.Name() != "help" && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short help %q", cmd.CommandPath(), cmd.Short)
		}
		for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
			if len(strings.TrimRight(line, "\n")) > 110 {
				t.Errorf("%s: line of help is too wide: %q", cmd.CommandPath(), line)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(Tree())
}

func TestExitCodes(t *testing.T) {
	broken := servertest.Sample()
	broken.Fail = api.Errorf(api.CodeConflict, "list networks: the store is in use")
	for _, c := range []struct {
		name string
		fake *servertest.Fake
		args []string
		code int
		err  string // part of the standard error
	}{
		{"good", nil, []string{"network", "list"}, exitGood, ""},
		{"refused", broken, []string{"network", "list"}, exitRefused, "sluice: list networks: the store is in use\n"},
		{"not found", nil, []string{"network", "get", "nope"}, exitRefused, `find network "nope"`},
		{"ambiguous", nil, []string{"endpoint", "get", "a"}, exitRefused, "could be any of"},
		{"unknown flag", nil, []string{"status", "--colour"}, exitUsage, "unknown flag: --colour\nSee 'sluice status --help'."},
		{"unknown noun", nil, []string{"networkx"}, exitUsage, `there is no "networkx"; did you mean network?`},
		{"unknown verb", nil, []string{"network", "frob"}, exitUsage, `there is no "frob", only get, list`},
		{"missing verb", nil, []string{"bpf", "conntrack"}, exitUsage, "say what to do: list"},
		{"missing argument", nil, []string{"network", "get"}, exitUsage, "requires at least 1 arg"},
		{"extra argument", nil, []string{"status", "x"}, exitUsage, "unknown command"},
		{"bad format", nil, []string{"status", "-o", "xml"}, exitUsage, "must be one of table, wide, json, yaml"},
		{"required flag", nil, []string{"policy", "apply"}, exitUsage, `required flag(s) "file" not set`},
		{"label without change", nil, []string{"endpoint", "label", "web"}, exitUsage, "at least one of the flags"},
		{"label without value", nil, []string{"endpoint", "label", "web", "--add", "x"}, exitUsage, "a label reads key=value"},
		{"label removed with value", nil, []string{"endpoint", "label", "web", "--remove", "x=y"}, exitUsage, "name the key alone"},
		{"label added and removed", nil, []string{"endpoint", "label", "web", "--add", "x=y", "--remove", "x"}, exitUsage, "at once"},
		{"regenerate nothing", nil, []string{"endpoint", "regenerate"}, exitUsage, "name endpoints, or --all"},
		{"regenerate both", nil, []string{"endpoint", "regenerate", "web", "--all"}, exitUsage, "name endpoints, or --all"},
		{"delete nothing", nil, []string{"policy", "delete"}, exitUsage, "name policies, or -f, or --all"},
		{"log level", nil, []string{"log", "level", "set", "loud"}, exitUsage, `there is no level "loud", only`},
		{"monitor port", nil, []string{"monitor", "--port", "70000"}, exitUsage, "ports go from 1 to 65535"},
		{"monitor address", nil, []string{"monitor", "--address", "300.1.1.1"}, exitUsage, "neither an address nor a CIDR"},
		{"monitor negative", nil, []string{"monitor", "--last", "-1"}, exitUsage, "cannot be negative"},
		{"missing file", nil, []string{"policy", "apply", "-f", "/nonexistent.yaml"}, exitRefused, "/nonexistent.yaml: no such file"},
		{"completion", nil, []string{"completion", "tcsh"}, exitUsage, `there is no shell "tcsh", only bash, zsh, fish`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.fake == nil {
				c.fake = servertest.Sample()
			}
			got := sluice(t, c.fake, c.args...)
			if got.code != c.code {
				t.Errorf("exit code %d, want %d; stderr %q", got.code, c.code, got.err)
			}
			if !strings.Contains(got.err, c.err) {
				t.Errorf("stderr %q, want %q in it", got.err, c.err)
			}
			if c.code != exitGood && got.out != "" {
				t.Errorf("a refusal wrote to standard output: %q", got.out)
			}
		})
	}
}

func TestNoDaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none")
	got := run(t, "", "sluice", "--socket", socket, "status")
	want := "sluice: connect to the daemon at " + socket + `: no such socket; is sluiced running? ` +
		`Start it with "systemctl start sluiced", or name its socket with --socket or SLUICE_SOCKET` + "\n"
	if got.code != exitRefused || got.err != want || got.out != "" {
		t.Errorf("got %+v, want stderr %q", got, want)
	}
}

func TestSocketFromEnvironment(t *testing.T) {
	socket := servertest.Serve(t, servertest.Sample().Backend(), server.Options{})
	var out, errs bytes.Buffer
	code := Run(context.Background(), Process{Args: []string{"sluice", "log", "level", "get"}, In: strings.NewReader(""), Out: &out, Err: &errs,
		Getenv: func(k string) string { return map[string]string{"SLUICE_SOCKET": socket}[k] }})
	if code != exitGood || out.String() != "info\n" {
		t.Errorf("exit code %d, out %q, err %q", code, &out, &errs)
	}
}
