package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

func (a *app) version() *cobra.Command {
	var out format
	var clientOnly bool
	cmd := &cobra.Command{
		Use:   "version [flags]",
		Short: "Show the versions of this command and of the daemon",
		Example: `  sluice version
  sluice version --client -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			versions := struct {
				Client api.Version  `json:"client"`
				Server *api.Version `json:"server,omitempty"`
			}{Client: a.Build}
			var failure error
			if !clientOnly {
				var v api.Version
				if v, failure = a.client().Version(cmd.Context()); failure == nil {
					versions.Server = &v
				}
			}
			if done, err := document(a.Out, out.value, versions); done {
				return firstOf(err, failure)
			}
			fmt.Fprintf(a.Out, "client: %s\n", versions.Client)
			if versions.Server != nil {
				fmt.Fprintf(a.Out, "server: %s\n", *versions.Server)
			}
			return failure
		},
	}
	out.flag(cmd, "table", "json", "yaml")
	cmd.Flags().BoolVar(&clientOnly, "client", false, "do not ask the daemon")
	return cmd
}

// firstOf returns the first error that is one.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
