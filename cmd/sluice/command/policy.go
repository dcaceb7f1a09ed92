package command

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

const policyFiles = `-f takes a file, a directory (its *.yaml, *.yml and *.json files, in the order of their names) or -
for standard input, and may be repeated. A file may hold several documents.`

func (a *app) policy() *cobra.Command {
	return noun("policy", "Apply, show, explain and delete policies", []string{"policies"},
		a.policyApply(), a.policyGet(), a.policyList(), a.policyDelete(), a.policyValidate(), a.policyExplain(), a.policyDiff(),
		a.policyGraph(), a.policyLearn())
}

func (a *app) policyApply() *cobra.Command {
	var files []string
	var wait waiting
	var dry bool
	var out format
	cmd := &cobra.Command{
		Use:   "apply -f FILE|DIR|- [flags]",
		Short: "Store policies and regenerate what they touch",
		Long: `Store policies, all or none, in the place of those of the same names, and regenerate the
programs of the endpoints that they touch. With --wait the command returns when every packet is
judged by them, and exits with 1 if a program could not be made. With --dry-run it shows what would
change instead, as "sluice policy diff" does.

` + policyFiles,
		Example: `  sluice policy apply -f allow-web.yaml --wait
  sluice policy apply -f policies/ -f extra.json
  generate | sluice policy apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dry {
				return a.diff(cmd, files, out.value)
			}
			sources, err := a.readSources(files)
			if err != nil {
				return err
			}
			change, err := a.client().ApplyPolicies(cmd.Context(), api.ApplyRequest{Sources: sources, Waiting: wait.request()})
			if err != nil {
				return err
			}
			return a.printChange(out.value, "policies", change, wait.wait)
		},
	}
	fileFlag(cmd, &files, true)
	wait.flags(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "store nothing, show what would change")
	out.flag(cmd, "table", "json", "yaml")
	return cmd
}

func fileFlag(cmd *cobra.Command, files *[]string, required bool) {
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "`file`, directory or - (repeat for several)")
	if required {
		if err := cmd.MarkFlagRequired("file"); err != nil {
			panic(err) // the flag does not exist: a defect that every run would show
		}
	}
}

func (a *app) policyValidate() *cobra.Command {
	var files []string
	var out format
	cmd := &cobra.Command{
		Use:   "validate -f FILE|DIR|- [flags]",
		Short: "Check policies without storing them",
		Long: `Ask the daemon whether it would accept policies, and how many endpoints each would select now.
Nothing is stored. What is wrong is told with file and line.

` + policyFiles,
		Example: `  sluice policy validate -f policies/`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sources, err := a.readSources(files)
			if err != nil {
				return err
			}
			results, err := a.client().ValidatePolicies(cmd.Context(), sources)
			if err != nil {
				return err
			}
			if done, err := document(a.Out, out.value, results); done {
				return err
			}
			for _, r := range results {
				a.printResult(r)
			}
			return nil
		},
	}
	fileFlag(cmd, &files, true)
	out.flag(cmd, "table", "json", "yaml")
	return cmd
}

func (a *app) policyList() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List the policies",
		Long: `List the policies in force: those that were applied, those of files in the daemon's policy
directory, and those that labels of containers are (labels:CONTAINER, one for all containers that
have the same). UNRESOLVED are peers that no container is now, a service that does not run yet for
example. Files that are broken are listed below, with what is wrong; what they brought before they
were is still in force.`,
		Example: `  sluice policy list -o wide`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.client().Policies(cmd.Context())
			if err != nil {
				return err
			}
			if err := list(a.Out, out, all, a.policyColumns()); err != nil {
				return err
			}
			return a.brokenFiles(cmd.Context(), out)
		},
	}
	out.flags(cmd)
	return cmd
}

func (a *app) policyColumns() []column[api.Policy] {
	return []column[api.Policy]{
		{name: "NAME", value: func(p api.Policy) string { return p.Name }},
		{name: "KIND", value: func(p api.Policy) string { return p.Kind }},
		{name: "RULES", value: func(p api.Policy) string { return strconv.Itoa(p.Rules) }},
		{name: "ENDPOINTS", value: func(p api.Policy) string { return strconv.Itoa(len(p.Endpoints)) }},
		{name: "AGE", value: func(p api.Policy) string { return ago(a.Now(), p.Applied) }},
		{name: "UNRESOLVED", value: func(p api.Policy) string { return strings.Join(p.Unresolved, ", ") }},
		{name: "REVISION", wide: true, value: func(p api.Policy) string { return strconv.FormatUint(p.Revision, 10) }},
		{name: "SOURCE", wide: true, value: func(p api.Policy) string { return p.Source }},
	}
}

func (a *app) policyGet() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "get POLICY... [flags]",
		Short: "Print policies as they were given",
		Long: `Print policies as they were given, several of them with a line --- between. A policy is named by
its name, with its namespace where that is needed. JSON and YAML are a list of the documents with
what the daemon knows of them.`,
		Example: `  sluice policy get allow-web > allow-web.yaml
  sluice policy get shop/allow-web -o json`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.complete(0, policyNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := a.client().Policies(cmd.Context(), args...)
			if err != nil {
				return err
			}
			if out.format.value != "text" {
				return list(a.Out, out, found, a.policyColumns())
			}
			for i, p := range found {
				if i > 0 {
					fmt.Fprintln(a.Out, "---")
				}
				fmt.Fprintln(a.Out, strings.TrimRight(p.Text, "\n"))
			}
			return nil
		},
	}
	out.format.flag(cmd, "text", "table", "wide", "json", "yaml")
	cmd.Flags().BoolVar(&out.noHeaders, "no-headers", false, "leave out the heading of a table")
	return cmd
}

func (a *app) policyDelete() *cobra.Command {
	var files []string
	var wait waiting
	var all bool
	var out format
	cmd := &cobra.Command{
		Use:     "delete POLICY...|-f FILE|--all [flags]",
		Aliases: []string{"rm"},
		Short:   "Delete policies and regenerate what they touched",
		Long: `Delete policies, all or none, by their names or by the files that they were applied from, and
regenerate the programs of the endpoints that they touched. A policy of a file in the daemon's
policy directory is deleted by removing it there.

` + policyFiles,
		Example: `  sluice policy delete allow-web --wait
  sluice policy delete -f policies/
  sluice policy delete --all`,
		ValidArgsFunction: a.complete(0, documentNames),
		Args: func(_ *cobra.Command, args []string) error {
			ways := 0
			for _, used := range []bool{len(args) > 0, len(files) > 0, all} {
				if used {
					ways++
				}
			}
			if ways != 1 {
				return errors.New("name policies, or -f, or --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			if len(files) > 0 {
				sources, err := a.readSources(files)
				if err != nil {
					return err
				}
				results, err := c.ValidatePolicies(cmd.Context(), sources)
				if err != nil {
					return err
				}
				for _, r := range results {
					args = append(args, r.Name)
				}
			}
			change, err := c.DeletePolicies(cmd.Context(), api.DeleteRequest{Names: args, All: all, Waiting: wait.request()})
			if err != nil {
				return err
			}
			if len(change.Policies) == 0 && out.value == "table" {
				fmt.Fprintln(a.Out, "there is no policy that was applied")
				return nil
			}
			return a.printChange(out.value, "policies", change, wait.wait)
		},
	}
	fileFlag(cmd, &files, false)
	cmd.Flags().BoolVar(&all, "all", false, "every policy that was applied")
	wait.flags(cmd)
	out.flag(cmd, "table", "json", "yaml")
	return cmd
}
