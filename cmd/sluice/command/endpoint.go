package command

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

const endpointRefs = `An endpoint is named by its id, its address, its container's name or id (all the endpoints of
the container), its compose service or project/service (those of all its containers), or the
beginning of an id. NAME@NETWORK means only that network's.`

func (a *app) endpoint() *cobra.Command {
	return noun("endpoint", "Show endpoints, change their labels, regenerate their programs", []string{"endpoints", "ep"},
		a.endpointList(), a.endpointGet(), a.endpointLabel(), a.endpointRegenerate())
}

func (a *app) endpointList() *cobra.Command {
	var out output
	var network string
	var labels []string
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List the containers on Sluice networks",
		Example: `  sluice endpoint list
  sluice endpoint list --network front -l app=web
  sluice endpoint list -o wide`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.client().Endpoints(cmd.Context())
			if err != nil {
				return err
			}
			all = slices.DeleteFunc(all, func(e api.Endpoint) bool { return !listed(e, network, labels) })
			return list(a.Out, out, all, a.endpointColumns())
		},
	}
	out.flags(cmd)
	cmd.Flags().StringVar(&network, "network", "", "only those of a network, by name or id")
	cmd.Flags().StringArrayVarP(&labels, "label", "l", nil, "only those with a label `key[=value]` (repeat for several)")
	a.completeFlag(cmd, "network", networkNames)
	return cmd
}

// listed reports whether the flags of list select the endpoint.
func listed(e api.Endpoint, network string, labels []string) bool {
	if network != "" && e.Network != network && !strings.HasPrefix(e.NetworkID, network) {
		return false
	}
	for _, l := range labels {
		key, value, exact := strings.Cut(l, "=")
		if v, ok := e.Labels[key]; !ok || (exact && v != value) {
			return false
		}
	}
	return true
}

func (a *app) endpointColumns() []column[api.Endpoint] {
	return []column[api.Endpoint]{
		{name: "ID", value: func(e api.Endpoint) string { return short(e.ID) }},
		{name: "CONTAINER", value: func(e api.Endpoint) string { return orID(e.Container, e.ContainerID) }},
		{name: "NETWORK", value: func(e api.Endpoint) string { return orID(e.Network, e.NetworkID) }},
		{name: "STATE", value: func(e api.Endpoint) string { return e.State }},
		{name: "IDENTITY", value: func(e api.Endpoint) string { return strconv.Itoa(int(e.Identity)) }},
		{name: "IPV4", value: func(e api.Endpoint) string { return address(e.IPv4) }},
		{name: "IPV6", value: func(e api.Endpoint) string { return address(e.IPv6) }},
		{name: "EGRESS", value: func(e api.Endpoint) string { return enforced(e, e.Egress) }},
		{name: "INGRESS", value: func(e api.Endpoint) string { return enforced(e, e.Ingress) }},
		{name: "MAC", wide: true, value: func(e api.Endpoint) string { return e.MAC }},
		{name: "INTERFACE", wide: true, value: func(e api.Endpoint) string { return e.Interface }},
		{name: "SLOT", wide: true, value: func(e api.Endpoint) string { return strconv.Itoa(int(e.Slot)) }},
		{name: "REVISION", wide: true, value: func(e api.Endpoint) string { return strconv.Itoa(int(e.Revision)) }},
		{name: "SENT", wide: true, value: func(e api.Endpoint) string { return strconv.FormatUint(e.Egress.Packets, 10) }},
		{name: "RECEIVED", wide: true, value: func(e api.Endpoint) string { return strconv.FormatUint(e.Ingress.Packets, 10) }},
		{name: "LABELS", wide: true, value: func(e api.Endpoint) string { return pairs(e.Labels) }},
	}
}

func (a *app) endpointGet() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "get ENDPOINT... [flags]",
		Short: "Describe endpoints",
		Long:  "Describe endpoints.\n\n" + endpointRefs + "\n\nJSON and YAML are always a list.",
		Example: `  sluice endpoint get web
  sluice endpoint get web@front -o json | jq '.[0].identity'
  sluice endpoint get shop/db 172.30.0.7`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.complete(0, endpointNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := a.client().Endpoints(cmd.Context(), args...)
			if err != nil {
				return err
			}
			return describe(a.Out, out, found, a.aboutEndpoint)
		},
	}
	out.flags(cmd)
	return cmd
}

func (a *app) aboutEndpoint(e api.Endpoint) []fact {
	all := []fact{
		{"Container", named(e.Container, e.ContainerID)},
		{"Network", named(e.Network, e.NetworkID)},
		{"ID", e.ID},
		{"State", e.State},
		{"Error", e.LastError},
		{"Image", e.Image},
		{"Compose", strings.Trim(e.Project+"/"+e.Service, "/")},
		{"IPv4", stringer(e.IPv4)},
		{"IPv6", stringer(e.IPv6)},
		{"MAC", e.MAC},
		{"Interface", fmt.Sprintf("%s (%d)", e.Interface, e.Ifindex)},
		{"Slot", strconv.Itoa(int(e.Slot))},
		{"Identity", strconv.Itoa(int(e.Identity))},
	}
	for _, k := range slices.Sorted(maps.Keys(e.Labels)) {
		all = append(all, fact{"Label", k + "=" + e.Labels[k]})
	}
	return append(all, []fact{
		{"Labels of this endpoint", pairs(e.Options)},
		{"Labels added", pairs(e.Changed.Add)},
		{"Labels removed", strings.Join(e.Changed.Remove, ",")},
		{"Revision", strconv.Itoa(int(e.Revision))},
		{"Program", a.aboutProgram(e.Program)},
		{"Egress", direction(e, e.Egress)},
		{"Ingress", direction(e, e.Ingress)},
		{"Published ports", published(e.Publish)},
		{"Profile", e.Profile},
		{"Mode", e.Mode},
		{"Egress rate", e.EgressRate},
		{"Ingress rate", e.IngressRate},
		{"Observe", e.Observe},
	}...)
}

func (a *app) aboutProgram(p api.Program) string {
	if p.Loaded.IsZero() {
		return short(p.Fingerprint)
	}
	text := short(p.Fingerprint)
	if p.Instructions > 0 {
		text += fmt.Sprintf(", %d instructions", p.Instructions)
	}
	return text + fmt.Sprintf(", loaded %s ago in %s", ago(a.Now(), p.Loaded), p.LoadTime.Round(10*time.Microsecond))
}

// published describes who may reach published ports, empty: whoever ingress admits.
func published(p api.Publishing) string {
	if !p.Enforced {
		return ""
	}
	return fmt.Sprintf("enforced by %s (%d entries)", strings.Join(p.Rules, ", "), p.Entries)
}

// direction describes policy and traffic of one direction.
func direction(e api.Endpoint, d api.Direction) string {
	text := enforced(e, d)
	if text == "enforced" {
		text = fmt.Sprintf("enforced by %s (%d entries)", strings.Join(d.Policies, ", "), d.Entries)
		if len(d.Policies) == 0 {
			text = fmt.Sprintf("enforced by the network's options (%d entries)", d.Entries)
		}
	}
	return fmt.Sprintf("%s, %d packets, %s", text, d.Packets, size(d.Bytes))
}

func (a *app) endpointLabel() *cobra.Command {
	var add, remove []string
	var wait waiting
	var out format
	cmd := &cobra.Command{
		Use:   "label ENDPOINT --add KEY=VALUE --remove KEY [flags]",
		Short: "Change the live labels of a container",
		Long: `Change the live labels of a container. Docker's own labels are fixed when a container is
created; these changes come on top of them, last as long as the container, and regenerate the
programs of the container and of those whose rules select it.

` + endpointRefs,
		Example: `  sluice endpoint label web --add tier=canary --wait
  sluice endpoint label web --remove tier
  sluice endpoint label 3f2a --add app=db --remove role`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.complete(1, endpointNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := labelChange(add, remove)
			if err != nil {
				return err
			}
			done, err := a.client().Label(cmd.Context(), api.LabelRequest{Ref: args[0], LabelChange: change, Waiting: wait.request()})
			if err != nil {
				return err
			}
			return a.printChange(out.value, "labels of "+args[0], done, wait.wait)
		},
	}
	cmd.Flags().StringArrayVar(&add, "add", nil, "add or override a label `key=value` (repeat for several)")
	cmd.Flags().StringArrayVar(&remove, "remove", nil, "remove the label of a `key` (repeat for several)")
	cmd.MarkFlagsOneRequired("add", "remove")
	wait.flags(cmd)
	out.flag(cmd, "table", "json", "yaml")
	return cmd
}

// labelChange reads the flags of label.
func labelChange(add, remove []string) (api.LabelChange, error) {
	change := api.LabelChange{Remove: remove}
	for _, pair := range add {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return change, usageError{fmt.Errorf("--add %q: a label reads key=value", pair)}
		}
		if change.Add == nil {
			change.Add = map[string]string{}
		}
		change.Add[key] = value
	}
	for _, key := range remove {
		if key == "" || strings.Contains(key, "=") {
			return change, usageError{fmt.Errorf("--remove %q: name the key alone", key)}
		}
		if _, both := change.Add[key]; both {
			return change, usageError{fmt.Errorf("label %q: it cannot be added and removed at once", key)}
		}
	}
	return change, nil
}

func (a *app) endpointRegenerate() *cobra.Command {
	var out output
	var all bool
	cmd := &cobra.Command{
		Use:   "regenerate ENDPOINT...|--all [flags]",
		Short: "Make and swap the programs of endpoints anew",
		Long: `Make and swap the programs of endpoints anew. It is never needed for a change to take effect;
it repairs an endpoint whose last regeneration failed, and shows how long one takes. Packets are
judged by the old program until the new one is in its place.

` + endpointRefs,
		Example: `  sluice endpoint regenerate web
  sluice endpoint regenerate --all -o json`,
		ValidArgsFunction: a.complete(0, endpointNames),
		Args: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return errors.New("name endpoints, or --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := a.client().Regenerate(cmd.Context(), api.RegenerateRequest{Refs: args, All: all})
			if err != nil {
				return err
			}
			if err := list(a.Out, out, done, regenerationColumns()); err != nil {
				return err
			}
			return failures(done)
		},
	}
	out.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "every endpoint")
	return cmd
}
