package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-net/sluice/api"
)

// brokenFiles prints the broken files of the policy directory below a table of policies.
func (a *app) brokenFiles(ctx context.Context, out output) error {
	if out.format.value != "table" && out.format.value != "wide" {
		return nil
	}
	files, err := a.client().PolicyFiles(ctx)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.State == api.PolicyFileBroken {
			a.printBroken(f)
		}
	}
	return nil
}

func (a *app) printBroken(f api.PolicyFile) {
	still := "nothing of it is in force"
	if len(f.Policies) > 0 {
		still = "as it was before, with " + strings.Join(f.Policies, ", ") + ", it is in force"
	}
	fmt.Fprintf(a.Out, "\n%s is broken; %s\n", f.Path, still)
	for _, p := range f.Problems {
		fmt.Fprintln(a.Out, "  "+p.String())
	}
}
