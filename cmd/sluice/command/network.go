package command

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

func (a *app) network() *cobra.Command {
	return noun("network", "Show networks", []string{"networks", "net"}, a.networkList(), a.networkGet())
}

func (a *app) networkList() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List the networks of driver sluice",
		Example: `  sluice network list
  sluice network list -o wide`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.client().Networks(cmd.Context())
			if err != nil {
				return err
			}
			return list(a.Out, out, all, []column[api.Network]{
				{name: "ID", value: func(n api.Network) string { return short(n.ID) }},
				{name: "NAME", value: func(n api.Network) string { return n.Name }},
				{name: "SUBNETS", value: subnets},
				{name: "ENDPOINTS", value: func(n api.Network) string { return strconv.Itoa(n.Endpoints) }},
				{name: "POLICY", value: func(n api.Network) string { return n.Policy }},
				{name: "INTERNAL", value: func(n api.Network) string { return yesNo(n.Internal) }},
				{name: "MASQUERADE", wide: true, value: func(n api.Network) string { return yesNo(n.Masquerade) }},
				{name: "ISOLATE", wide: true, value: func(n api.Network) string { return yesNo(n.Isolate) }},
				{name: "MTU", wide: true, value: func(n api.Network) string { return strconv.Itoa(n.MTU) }},
				{name: "NUMBER", wide: true, value: func(n api.Network) string { return strconv.Itoa(int(n.Number)) }},
				{name: "AGE", wide: true, value: func(n api.Network) string { return ago(a.Now(), n.Created) }},
			})
		},
	}
	out.flags(cmd)
	return cmd
}

func (a *app) networkGet() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "get NETWORK... [flags]",
		Short: "Describe networks",
		Long:  "Describe networks, named by their names, ids or the beginning of an id. JSON and YAML are always a list.",
		Example: `  sluice network get front
  sluice network get 3f2a -o json`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.complete(0, networkNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := a.client().Networks(cmd.Context(), args...)
			if err != nil {
				return err
			}
			return describe(a.Out, out, found, a.aboutNetwork)
		},
	}
	out.flags(cmd)
	return cmd
}

func (a *app) aboutNetwork(n api.Network) []fact {
	all := []fact{
		{"Name", n.Name},
		{"ID", n.ID},
		{"Number", strconv.Itoa(int(n.Number))},
	}
	for _, s := range n.Subnets {
		value := s.Prefix.String()
		if s.Gateway.IsValid() {
			value += ", gateway " + s.Gateway.String()
		}
		if s.Range.IsValid() {
			value += ", automatic addresses from " + s.Range.String()
		}
		all = append(all, fact{"Subnet", value})
	}
	return append(all, []fact{
		{"Policy", n.Policy},
		{"Internal", yesNo(n.Internal)},
		{"Masquerade", yesNo(n.Masquerade)},
		{"Isolate", yesNo(n.Isolate)},
		{"MTU", strconv.Itoa(n.MTU)},
		{"Observe", n.Observe},
		{"Endpoints", strconv.Itoa(n.Endpoints)},
		{"Options", pairs(n.Options)},
		{"Age", ago(a.Now(), n.Created)},
	}...)
}

func subnets(n api.Network) string {
	var all []string
	for _, s := range n.Subnets {
		all = append(all, s.Prefix.String())
	}
	return strings.Join(all, ",")
}
