package command

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

func (a *app) identity() *cobra.Command {
	return noun("identity", "Show identities", []string{"identities", "id"}, a.identityList(), a.identityGet())
}

func (a *app) identityList() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List the identities in use",
		Long: `List the identities in use. An identity is a number for a set of labels: containers with the
same labels share it, and programs compare it instead of labels.`,
		Example: `  sluice identity list`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.client().Identities(cmd.Context())
			if err != nil {
				return err
			}
			return list(a.Out, out, all, identityColumns())
		},
	}
	out.flags(cmd)
	return cmd
}

func (a *app) identityGet() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "get IDENTITY... [flags]",
		Short: "Show identities by number, name or endpoint",
		Long: `Show identities by their number, the name of a reserved one (host, world, init), or that of an
endpoint that has it. JSON and YAML are always a list.`,
		Example: `  sluice identity get 257
  sluice identity get host
  sluice identity get web -o yaml`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.complete(0, identityNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := a.client().Identities(cmd.Context(), args...)
			if err != nil {
				return err
			}
			return list(a.Out, out, found, identityColumns())
		},
	}
	out.flags(cmd)
	return cmd
}

func identityColumns() []column[api.Identity] {
	return []column[api.Identity]{
		{name: "ID", value: func(i api.Identity) string { return strconv.Itoa(int(i.ID)) }},
		{name: "ENDPOINTS", value: func(i api.Identity) string { return strconv.Itoa(len(i.Endpoints)) }},
		{name: "LABELS", value: func(i api.Identity) string {
			if i.Name != "" {
				return "reserved:" + i.Name
			}
			return pairs(i.Labels)
		}},
		{name: "ENDPOINT IDS", wide: true, value: func(i api.Identity) string {
			var ids []string
			for _, id := range i.Endpoints {
				ids = append(ids, short(id))
			}
			return strings.Join(ids, ",")
		}},
	}
}
