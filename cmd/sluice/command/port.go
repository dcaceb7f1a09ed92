package command

import (
	"net/netip"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

func (a *app) port() *cobra.Command {
	return noun("port", "Show published ports", []string{"ports"}, a.portList())
}

func (a *app) portList() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list [ENDPOINT...] [flags]",
		Aliases: []string{"ls"},
		Short:   "List published ports",
		Long: `List the ports that containers publish on the host, all or those of some containers. Docker
cannot list them for a network plugin: "docker ps" shows none.`,
		Example: `  sluice port ls
  sluice port ls web --no-headers`,
		ValidArgsFunction: a.complete(0, endpointNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := a.client().Ports(cmd.Context(), args...)
			if err != nil {
				return err
			}
			return list(a.Out, out, all, []column[api.Port]{
				{name: "HOST", value: func(p api.Port) string { return netip.AddrPortFrom(p.HostAddr, p.HostPort).String() }},
				{name: "PROTOCOL", value: func(p api.Port) string { return p.Protocol }},
				{name: "CONTAINER", value: func(p api.Port) string { return orID(p.Container, p.Endpoint) }},
				{name: "PORT", value: func(p api.Port) string { return strconv.Itoa(int(p.Port)) }},
				{name: "ADDRESS", wide: true, value: func(p api.Port) string { return stringer(p.Addr) }},
				{name: "NETWORK", wide: true, value: func(p api.Port) string { return p.Network }},
				{name: "ENDPOINT", wide: true, value: func(p api.Port) string { return short(p.Endpoint) }},
			})
		},
	}
	out.flags(cmd)
	return cmd
}
