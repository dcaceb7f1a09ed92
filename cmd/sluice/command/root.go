package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

// The exit codes.
const (
	exitGood    = 0
	exitRefused = 1 // refused, not found, or the daemon does not answer
	exitUsage   = 2
)

// Process is what a run has of its operating system.
type Process struct {
	Args   []string // with the program's name
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	Getenv func(string) string
	Now    func() time.Time // nil: time.Now
	Build  api.Version      // zero: of the running program
}

// app is what the commands of one run share.
type app struct {
	Process
	socket  string
	started bool // the command line was right: what fails now is no usage error
}

// usageError is an error of the command line that cobra could not see.
type usageError struct{ error }

// Run runs one command line and returns the exit code.
func Run(ctx context.Context, p Process) int {
	a, root := newApp(p)
	args, plugin := dockerPlugin(p.Args)
	if plugin {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "docker sluice"}
	}
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitGood
	}
	if silent := new(silentError); errors.As(err, &silent) {
		return exitRefused
	}
	fmt.Fprintf(p.Err, "sluice: %s\n", err)
	if usage := new(usageError); !a.started || errors.As(err, usage) {
		fmt.Fprintf(p.Err, "See '%s --help'.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitRefused
}

// silentError ends a run whose output already says what is wrong.
type silentError struct{}

func (*silentError) Error() string { return "refused" }

// Tree returns the commands, for generators of documentation.
func Tree() *cobra.Command {
	_, root := newApp(Process{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard,
		Getenv: func(string) string { return "" }})
	return root
}

func newApp(p Process) (*app, *cobra.Command) {
	a := &app{Process: p}
	if a.Now == nil {
		a.Now = time.Now
	}
	if a.Build == (api.Version{}) {
		a.Build = api.Build()
	}
	root := &cobra.Command{
		Use:   "sluice",
		Short: "See and control the Docker networks of Sluice",
		Long: `See and control the Docker networks of Sluice: endpoints (a container's place on a
network), the policies that judge their packets, published ports, and packets live.

Networks themselves are made by Docker: docker network create -d sluice NAME`,
		Example: `  sluice status
  sluice endpoint list
  sluice policy apply -f policies/ --wait
  sluice monitor --endpoint web`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	// A noun runs only to say what is missing: its own usage line would mislead.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}",
		"{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	socket := p.Getenv("SLUICE_SOCKET")
	if socket == "" {
		socket = api.DefaultSocket
	}
	root.PersistentFlags().StringVar(&a.socket, "socket", socket, "socket of the daemon (environment: SLUICE_SOCKET)")
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	root.AddCommand(a.status(), a.network(), a.endpoint(), a.identity(), a.policy(), a.port(), a.observe(), a.top(), a.capture(), a.monitor(), a.bpf(),
		a.exposed(), a.why(), a.ui(), a.log(), a.version(), a.completion(), a.pluginMetadata())
	cobra.EnableCommandSorting = true
	a.finish(root)
	return a, root
}

// finish gives every command what all have.
func (a *app) finish(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true
	cmd.Flags().SortFlags = true
	cmd.InitDefaultHelpFlag()
	cmd.Flags().Lookup("help").Usage = "show this help"
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.started = true
			return run(cmd, args)
		}
		if cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
	} else {
		cmd.RunE = missingSubcommand
		cmd.Args = cobra.ArbitraryArgs
	}
	for _, sub := range cmd.Commands() {
		a.finish(sub)
	}
}

// missingSubcommand answers a noun without a verb, or with an unknown one.
func missingSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 && !cmd.HasParent() {
		return cmd.Help()
	}
	var verbs []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			verbs = append(verbs, sub.Name())
		}
	}
	if len(args) == 0 {
		return usageError{fmt.Errorf("%s: say what to do: %s", path(cmd), strings.Join(verbs, ", "))}
	}
	cmd.SuggestionsMinimumDistance = 1
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usageError{fmt.Errorf("%s: there is no %q; did you mean %s?", path(cmd), args[0], strings.Join(near, " or "))}
	}
	return usageError{fmt.Errorf("%s: there is no %q, only %s", path(cmd), args[0], strings.Join(verbs, ", "))}
}

// path returns the words that lead to a command; errors begin with the tool's name already.
func path(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return "command"
	}
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// oneOf demands one argument out of a few, called noun.
func oneOf(noun string, valid ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		all := strings.Join(valid, ", ")
		switch {
		case len(args) != 1:
			return usageError{fmt.Errorf("name one %s: %s", noun, all)}
		case !slices.Contains(valid, args[0]):
			return usageError{fmt.Errorf("there is no %s %q, only %s", noun, args[0], all)}
		}
		return nil
	}
}

// client returns a client of the daemon that the flags name.
func (a *app) client() *api.Client { return api.NewClient(a.socket) }

// noun makes the command that holds a noun's verbs.
func noun(use, short string, aliases []string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Aliases: aliases}
	cmd.AddCommand(verbs...)
	return cmd
}

// dockerPlugin takes Docker's words off a command line: "docker sluice status" runs "docker-sluice sluice status",
// with Docker's own flags before the name, and "docker-sluice __complete sluice …" for the shell.
func dockerPlugin(argv []string) (args []string, plugin bool) {
	if len(argv) == 0 {
		return nil, false
	}
	args = argv[1:]
	if filepath.Base(argv[0]) != "docker-sluice" {
		return args, false
	}
	complete := len(args) > 0 && strings.HasPrefix(args[0], "__complete")
	for i, arg := range args {
		if arg != "sluice" {
			continue
		}
		rest := append([]string{}, args[i+1:]...)
		if complete {
			rest = append([]string{args[0]}, rest...)
		}
		return rest, true
	}
	return args, true
}
