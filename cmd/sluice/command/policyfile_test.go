package command

import (
	"strings"
	"testing"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server/servertest"
)

func TestPolicyListShowsBrokenFiles(t *testing.T) {
	f := servertest.Sample()
	f.FileList = []api.PolicyFile{
		{Path: "/p/good.yaml", State: api.PolicyFileActive, Policies: []string{"allow-web"}},
		{Path: "/p/shop.yaml", State: api.PolicyFileBroken, Policies: []string{"shop/a", "shop/b"}, Problems: []api.Problem{
			{Source: "/p/shop.yaml", Line: 3, Message: "first"}, {Source: "/p/shop.yaml", Line: 7, Message: "second"}}},
	}
	got := sluice(t, f, "policy", "list")
	want := `
/p/shop.yaml is broken; as it was before, with shop/a, shop/b, it is in force
  /p/shop.yaml:3: first
  /p/shop.yaml:7: second
`
	if got.code != exitGood || !strings.HasSuffix(got.out, want) || strings.Contains(got.out, "good.yaml") {
		t.Errorf("got %+v", got)
	}
}

func TestPolicyDeleteAllLeavesFiles(t *testing.T) {
	f := servertest.Sample()
	f.PolicyList[1].Origin = api.OriginDirectory
	if got := sluice(t, f, "policy", "delete", "--all"); got.code != exitGood || strings.Contains(got.out, "deny-all") {
		t.Errorf("got %+v", got)
	}
	f.PolicyList = f.PolicyList[1:]
	if got := sluice(t, f, "policy", "delete", "--all"); got.out != "there is no policy that was applied\n" {
		t.Errorf("got %+v", got)
	}
}
