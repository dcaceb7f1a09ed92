package command

import (
	"fmt"

	"github.com/spf13/cobra"
)

var logLevels = []string{"error", "warning", "info", "debug", "trace"}

func (a *app) log() *cobra.Command {
	get := &cobra.Command{
		Use:     "get",
		Short:   "Show the daemon's log level",
		Example: `  sluice log level get`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level, err := a.client().LogLevel(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(a.Out, level)
			return nil
		},
	}
	set := &cobra.Command{
		Use:     "set error|warning|info|debug|trace",
		Short:   "Change the daemon's log level until it is restarted",
		Example: `  sluice log level set debug`,
		Args:    oneOf("level", logLevels...),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.client().SetLogLevel(cmd.Context(), args[0])
		},
		ValidArgs: logLevels,
	}
	return noun("log", "Show and change what the daemon logs", nil, noun("level", "Show and change the log level", nil, get, set))
}
