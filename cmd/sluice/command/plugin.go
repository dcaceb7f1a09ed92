package command

import (
	"encoding/json"

	"github.com/spf13/cobra"
)

// pluginMetadata answers Docker, which asks every file docker-* in its plugin directories what it is.
func (a *app) pluginMetadata() *cobra.Command {
	return &cobra.Command{
		Use:    "docker-cli-plugin-metadata",
		Short:  "Tell Docker's command line what this plugin is",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return json.NewEncoder(a.Out).Encode(map[string]string{
				"SchemaVersion":    "0.1.0",
				"Vendor":           "Sluice",
				"Version":          a.Build.Version,
				"ShortDescription": "See and control Sluice networks",
				"URL":              "https://github.com/sluice-net/sluice",
			})
		},
	}
}
