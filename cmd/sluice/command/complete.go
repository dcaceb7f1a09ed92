package command

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

// completeTime is how long the shell waits for the daemon.
const completeTime = time.Second

// names asks the daemon for words with descriptions.
type names func(ctx context.Context, c *api.Client) ([]cobra.Completion, error)

// complete makes a completion function that offers the words that are not on the command line yet, at most most
// arguments (0: any number). When the daemon does not answer it offers nothing.
func (a *app) complete(most int, ask names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const only = cobra.ShellCompDirectiveNoFileComp
		if most > 0 && len(args) >= most {
			return nil, only
		}
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, completeTime)
		defer cancel()
		c := a.client()
		defer c.Close()
		words, err := ask(ctx, c)
		if err != nil {
			cobra.CompDebugln(err.Error(), false)
			return nil, only
		}
		slices.Sort(words)
		return slices.DeleteFunc(slices.Compact(words), func(w string) bool {
			word, _, _ := strings.Cut(w, "\t")
			return !strings.HasPrefix(word, prefix) || slices.Contains(args, word)
		}), only
	}
}

// completeFlag makes a flag complete words of the daemon.
func (a *app) completeFlag(cmd *cobra.Command, flag string, ask names) {
	f := a.complete(0, ask)
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return f(cmd, nil, prefix)
	})
	if err != nil {
		panic(err) // the flag does not exist: a defect that every run would show
	}
}

func networkNames(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	all, err := c.Networks(ctx)
	return words(all, err, func(n api.Network) (string, string) {
		if n.Name == "" {
			return short(n.ID), "network"
		}
		return n.Name, "network " + short(n.ID)
	})
}

func endpointNames(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	all, err := c.Endpoints(ctx)
	return words(all, err, func(e api.Endpoint) (string, string) {
		if e.Container == "" {
			return short(e.ID), "endpoint on " + e.Network
		}
		return e.Container, "container " + short(e.ContainerID)
	})
}

// containerNames completes containers and compose services.
func containerNames(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	all, err := c.Endpoints(ctx)
	out, err := words(all, err, func(e api.Endpoint) (string, string) { return orID(e.Container, e.ID), "container" })
	for _, e := range all {
		if e.Project != "" && e.Service != "" {
			out = append(out, cobra.CompletionWithDesc(e.Project+"/"+e.Service, "compose service"))
		}
	}
	return out, err
}

// onlyContainers completes containers.
func onlyContainers(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	all, err := c.Endpoints(ctx)
	return words(all, err, func(e api.Endpoint) (string, string) { return e.Container, "container" })
}

// serviceNames completes compose services with their projects.
func serviceNames(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	return ofCompose(ctx, c, func(e api.Endpoint) (string, string) { return e.Project + "/" + e.Service, "compose service" })
}

// workloadNames completes compose services without their projects.
func workloadNames(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	return ofCompose(ctx, c, func(e api.Endpoint) (string, string) { return e.Service, "compose service" })
}

// projectNames completes compose projects.
func projectNames(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	return ofCompose(ctx, c, func(e api.Endpoint) (string, string) { return e.Project, "compose project" })
}

// podNames completes containers as hubble names them.
func podNames(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	all, err := c.Endpoints(ctx)
	return words(all, err, func(e api.Endpoint) (string, string) {
		return cmp.Or(e.Project, "default") + "/" + e.Container, "container"
	})
}

// ofCompose makes completions of the endpoints that compose made.
func ofCompose(ctx context.Context, c *api.Client, word func(api.Endpoint) (name, about string)) ([]cobra.Completion, error) {
	all, err := c.Endpoints(ctx)
	all = slices.DeleteFunc(all, func(e api.Endpoint) bool { return e.Project == "" || e.Service == "" })
	return words(all, err, word)
}

// endNames completes what explanations are asked about.
func endNames(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	out, err := containerNames(ctx, c)
	return append(out, cobra.CompletionWithDesc("@host", "this host"), cobra.CompletionWithDesc("@lan", "the local networks"),
		cobra.CompletionWithDesc("@internet", "all other addresses")), err
}

func identityNames(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	all, err := c.Identities(ctx)
	return words(all, err, func(i api.Identity) (string, string) {
		if i.Name != "" {
			return i.Name, "reserved"
		}
		return strconv.Itoa(int(i.ID)), pairs(i.Labels)
	})
}

func policyNames(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	all, err := c.Policies(ctx)
	return words(all, err, func(p api.Policy) (string, string) { return p.Name, p.Kind })
}

// documentNames completes policies that can be deleted.
func documentNames(ctx context.Context, c *api.Client) ([]cobra.Completion, error) {
	all, err := c.Policies(ctx)
	all = slices.DeleteFunc(all, func(p api.Policy) bool { return p.Origin == api.OriginLabel })
	return words(all, err, func(p api.Policy) (string, string) { return p.Name, p.Kind })
}

// words makes completions of items.
func words[T any](items []T, err error, word func(T) (name, about string)) ([]cobra.Completion, error) {
	var out []cobra.Completion
	for _, item := range items {
		name, about := word(item)
		out = append(out, cobra.CompletionWithDesc(name, oneLine(about)))
	}
	return out, err
}
