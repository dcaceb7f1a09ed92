package command

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

func (a *app) bpf() *cobra.Command {
	return noun("bpf", "Show the tables of the kernel", nil,
		noun("conntrack", "Show the flow tables", []string{"ct"}, a.conntrackList()),
		noun("endpoints", "Show the table of addresses", nil, a.addressList()),
		noun("policy", "Show the compiled verdict tables", nil, a.policyEntryList()),
		noun("metrics", "Show the packet counters", nil, a.metricList()))
}

func (a *app) conntrackList() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list [ENDPOINT...] [flags]",
		Aliases: []string{"ls"},
		Short:   "List connections, all or those of some endpoints",
		Example: `  sluice bpf conntrack list
  sluice bpf conntrack list web -o wide`,
		ValidArgsFunction: a.complete(0, endpointNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []api.Connection
			err := a.client().Connections(cmd.Context(), args, func(c api.Connection) error {
				all = append(all, c)
				return nil
			})
			if err != nil {
				return err
			}
			return list(a.Out, out, all, []column[api.Connection]{
				{name: "PROTOCOL", value: func(c api.Connection) string { return c.Protocol }},
				{name: "SOURCE", value: func(c api.Connection) string { return addrPort(c.Source) }},
				{name: "DESTINATION", value: func(c api.Connection) string { return addrPort(c.Destination) }},
				{name: "STATE", value: func(c api.Connection) string { return c.State }},
				{name: "IDLE", value: func(c api.Connection) string { return c.Idle.Round(time.Second).String() }},
				{name: "FRONTEND", value: func(c api.Connection) string { return addrPort(c.Frontend) }},
				{name: "MASQUERADE", value: func(c api.Connection) string { return addrPort(c.Masquerade) }},
				{name: "EGRESS", wide: true, value: func(c api.Connection) string { return judgement(c.EgressRevision, c.EgressPeer) }},
				{name: "INGRESS", wide: true, value: func(c api.Connection) string { return judgement(c.IngressRevision, c.IngressPeer) }},
			})
		},
	}
	out.flags(cmd)
	return cmd
}

// judgement says by which revision a flow was allowed, and towards which peer.
func judgement(revision, peer uint32) string {
	if revision == 0 {
		return ""
	}
	return fmt.Sprintf("revision %d, peer %d", revision, peer)
}

func addrPort(a netip.AddrPort) string {
	if a.Port() == 0 && a.Addr().IsValid() {
		return a.Addr().String()
	}
	return stringer(a)
}

func (a *app) addressList() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List the addresses that programs know",
		Example: `  sluice bpf endpoints list`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.client().Addresses(cmd.Context())
			if err != nil {
				return err
			}
			return list(a.Out, out, all, []column[api.AddressEntry]{
				{name: "ADDRESS", value: func(e api.AddressEntry) string { return stringer(e.Addr) }},
				{name: "ENDPOINT", value: func(e api.AddressEntry) string {
					if e.Host {
						return "host"
					}
					return shortened(e.Endpoint)
				}},
				{name: "IDENTITY", value: func(e api.AddressEntry) string { return strconv.Itoa(int(e.Identity)) }},
				{name: "NETWORK", value: func(e api.AddressEntry) string { return number(e.Host, e.Network) }},
				{name: "SLOT", value: func(e api.AddressEntry) string { return number(e.Host, e.Slot) }},
				{name: "IFINDEX", value: func(e api.AddressEntry) string { return number(e.Host, uint32(e.Ifindex)) }},
				{name: "MAC", value: func(e api.AddressEntry) string { return e.MAC }},
			})
		},
	}
	out.flags(cmd)
	return cmd
}

// shortened returns a name, or the beginning of a whole id.
func shortened(name string) string {
	if len(name) == 64 {
		return short(name)
	}
	return name
}

// number returns n, empty for what the host has not.
func number(host bool, n uint32) string {
	if host {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (a *app) policyEntryList() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list [ENDPOINT...] [flags]",
		Aliases: []string{"ls"},
		Short:   "List what the running programs were compiled from",
		Long: `List the verdict tables that the running programs were compiled from, all or those of some
endpoints: for a peer, a protocol and a range of ports, the verdict and the rule that gave it.`,
		Example: `  sluice bpf policy list web
  sluice bpf policy list -o json`,
		ValidArgsFunction: a.complete(0, endpointNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := a.client().PolicyEntries(cmd.Context(), args...)
			if err != nil {
				return err
			}
			return list(a.Out, out, all, []column[api.PolicyEntry]{
				{name: "CONTAINER", value: func(e api.PolicyEntry) string { return orID(e.Container, e.Endpoint) }},
				{name: "DIRECTION", value: func(e api.PolicyEntry) string { return e.Direction }},
				{name: "PEER", value: func(e api.PolicyEntry) string { return e.Peer }},
				{name: "PROTOCOL", value: func(e api.PolicyEntry) string { return e.Protocol }},
				{name: "PORTS", value: portRange},
				{name: "VERDICT", value: func(e api.PolicyEntry) string { return e.Verdict }},
				{name: "RULE", value: func(e api.PolicyEntry) string { return e.Rule }},
				{name: "IDENTITY", wide: true, value: func(e api.PolicyEntry) string { return number(e.Identity == 0, e.Identity) }},
				{name: "REVISION", wide: true, value: func(e api.PolicyEntry) string { return strconv.Itoa(int(e.Revision)) }},
			})
		},
	}
	out.flags(cmd)
	return cmd
}

// portRange returns the ports of an entry; for ICMP, whose ports are type*256+code, the type and the code.
func portRange(e api.PolicyEntry) string {
	if e.From == 0 && e.To == 65535 {
		return "any"
	}
	text := func(p uint16) string { return strconv.Itoa(int(p)) }
	if e.Protocol == "icmp" || e.Protocol == "icmpv6" {
		if e.From&0xff == 0 && e.To == e.From|0xff {
			return fmt.Sprintf("type %d", e.From>>8)
		}
		text = func(p uint16) string { return fmt.Sprintf("type %d code %d", p>>8, p&0xff) }
	}
	if e.From == e.To {
		return text(e.From)
	}
	return text(e.From) + "-" + text(e.To)
}

func (a *app) metricList() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List how many packets were forwarded and dropped, and why",
		Example: `  sluice bpf metrics list`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.client().Metrics(cmd.Context())
			if err != nil {
				return err
			}
			return list(a.Out, out, all, []column[api.Metric]{
				{name: "DIRECTION", value: func(m api.Metric) string { return m.Direction }},
				{name: "VERDICT", value: func(m api.Metric) string {
					if m.Reason == "" {
						return "forwarded"
					}
					return "dropped"
				}},
				{name: "REASON", value: func(m api.Metric) string { return m.Reason }},
				{name: "PACKETS", value: func(m api.Metric) string { return strconv.FormatUint(m.Packets, 10) }},
				{name: "BYTES", value: func(m api.Metric) string { return strconv.FormatUint(m.Bytes, 10) }},
			})
		},
	}
	out.flags(cmd)
	return cmd
}
