package endpoint

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// closedTo tells what the ingress of a container's running program says of a peer.
func (w *world) closedTo(target, peer *Endpoint, port uint16) policy.Verdict {
	w.t.Helper()
	p, ok := w.kernel.program(target.Veth.Slot)
	if !ok {
		w.t.Fatalf("%s runs nothing", target.Container.Name)
	}
	current, _ := w.endpoint(peer.ID)
	v, _ := policy.Judge(policy.Ingress, p.Ingress, current.Identity, policy.ClassNetwork, netip.Addr{}, policy.Key(policy.ProtocolTCP, port))
	return v
}

func (w *world) names(e *Endpoint) string {
	w.t.Helper()
	now, _ := w.endpoint(e.ID)
	labels, _ := w.identities.Labels(now.Identity)
	return labels[identity.LabelName]
}

func TestLabelsAreAPolicy(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	web := w.run(1, 2, "app=web")
	cron := w.run(1, 3, "app=cron")
	db := w.run(1, 1, "sluice.ingress=label:app=web:5432")
	check := func(when string) {
		t.Helper()
		if w.closedTo(db, web, 5432) != policy.Allow || w.closedTo(db, cron, 5432) != policy.Deny || w.closedTo(db, web, 80) != policy.Deny {
			t.Errorf("%s: the label is not what is enforced", when)
		}
		w.check()
	}
	check("after the start")
	w.start()
	check("after the daemon's restart")
	if _, err := w.Relabel(t.Context(), db.ID, relabel("sluice.ingress=label:app=cron:5432")); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if w.closedTo(db, web, 5432) != policy.Deny || w.closedTo(db, cron, 5432) != policy.Allow {
		t.Error("the label changed, what is enforced did not")
	}
	w.check()
}

// TestBadLabelsRefuseTheStart: nothing is left of the container, and the error says what is wrong and where.
func TestBadLabelsRefuseTheStart(t *testing.T) {
	for label, want := range map[string]string{
		"sluice.egres=@internet":         "sluice.egress",
		"sluice.egress=@intrenet":        "@internet",
		"sluice.ingress=db:54x2":         "sluice.ingress",
		"sluice.rate.egress=fast":        "sluice.rate.egress",
		"sluice.profile=closed":          "locked",
		"sluice.publish.80808=@lan":      "sluice.publish",
		"sluice.mode=enforced":           "enforce",
		"sluice.egress=example.com":      "DNS policy",
		"sluice.port.web=many":           "sluice.port.web",
		"sluice.egress=10.0.0.0/33":      "10.0.0.0",
		"sluice.egress.deny=@everywhere": "sluice.egress.deny",
	} {
		w := newWorld(t)
		w.makeNetwork(1)
		err := w.tryRun(1, 1, label)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "c1") {
			t.Errorf("%s: %v, want %s named", label, err, want)
		}
		w.must(w.stop(1, 1))
		w.settle()
		w.check()
		if len(w.kernel.pairs)+len(w.kernel.slots) != 0 {
			t.Errorf("%s: left in the kernel", label)
		}
	}
}

// TestBadLabelsLearnedLate: the container runs already when its labels become known. It stays closed, and says why.
func TestBadLabelsLearnedLate(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.engine.do(func() { w.engine.down = true })
	e := w.run(1, 1, "sluice.egress=@nowhere")
	w.engine.do(func() { w.engine.down = false })
	check := func(when string) {
		t.Helper()
		for range 2 {
			settled, err := w.Reconcile(t.Context())
			if err != nil || !settled {
				t.Errorf("%s: settled %v, %v", when, settled, err)
			}
		}
		w.settle()
		w.check()
		if p, _ := w.kernel.program(e.Veth.Slot); !p.Closed {
			t.Fatalf("%s: the container is open", when)
		}
		all, _ := w.Endpoints(t.Context())
		if len(all) != 1 || all[0].State != api.StateFailed || all[0].Container != "c1" || !strings.Contains(all[0].LastError, "sluice.egress") {
			t.Errorf("%s: endpoint is shown as %+v", when, all)
		}
		var s api.Status
		if w.Count(&s); s.Endpoints.Failed != 1 || s.Endpoints.Closed != 0 {
			t.Errorf("%s: counted %+v", when, s.Endpoints)
		}
	}
	check("when the labels are known")
	w.start()
	check("after the daemon's restart")
	w.must(w.stop(1, 1))
	w.run(1, 1, "sluice.egress=@internet")
	w.check()
	if all, _ := w.Endpoints(t.Context()); all[0].State != api.StateReady {
		t.Errorf("with good labels: %+v", all[0])
	}
	if len(w.refused) != 0 {
		t.Errorf("refused are %v", w.refused)
	}
}

// TestLabelsOfAnotherVersion: a former version let the container start, this one refuses its labels: it is closed.
func TestLabelsOfAnotherVersion(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	e := w.run(1, 1, "app=web")
	old, _ := w.endpoint(e.ID)
	changed := *old
	changed.Container.Labels = map[string]string{"app": "web", "sluice.egress": "@nowhere"}
	w.must(w.save(t.Context(), &changed))
	w.start()
	w.settle()
	w.check()
	if p, _ := w.kernel.program(e.Veth.Slot); !p.Closed {
		t.Error("the container is open")
	}
	if all, _ := w.Endpoints(t.Context()); all[0].State != api.StateFailed || all[0].Container != "c1" {
		t.Errorf("shown as %+v", all[0])
	}
}

func TestRelabelRefusesBadPolicy(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	e := w.run(1, 1, "sluice.egress=@internet")
	before, _ := w.kernel.program(e.Veth.Slot)
	generation := w.Generation()
	for _, change := range []string{"sluice.egress=@intrenet", "sluice.egres=@internet", "sluice.name=other"} {
		if _, err := w.Relabel(t.Context(), e.ID, relabel(change)); api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), "sluice.") {
			t.Errorf("%s: %v", change, err)
		}
	}
	w.settle()
	if now, _ := w.kernel.program(e.Veth.Slot); now.Fingerprint() != before.Fingerprint() || w.Generation() != generation || len(w.changes) != 0 {
		t.Error("a refused change changed something")
	}
	w.check()
}

func TestDriverOptions(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.makeNetwork(2)
	run := func(network, n int, options map[string]string, labels ...string) (*Endpoint, error) {
		r := endpointRequest(network, n)
		r.Options = options
		if _, err := w.CreateEndpoint(t.Context(), r); err != nil {
			return nil, err
		}
		w.engine.attach(id("aa", network), r.ID, container(n, labels...))
		_, err := w.Join(t.Context(), joinRequest(network, n))
		e, _ := w.endpoint(r.ID)
		return e, err
	}
	for option, want := range map[string]string{
		"sluice.egres": "sluice.egress", "sluice.network": "itself", "sluice.name": "itself", "sluice.profile": "profile",
	} {
		_, err := run(1, 9, map[string]string{option: "nonsense"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("option %s: %v", option, err)
		}
		w.must(w.stop(1, 9))
	}
	peer := w.run(1, 5, "app=web")
	opened, err := run(1, 1, map[string]string{"sluice.ingress": "label:app=web"}, "sluice.ingress=@none")
	w.must(err)
	closed, err := run(2, 1, nil, "sluice.ingress=@none")
	w.must(err)
	check := func(when string) {
		t.Helper()
		if w.closedTo(opened, peer, 80) != policy.Allow || w.closedTo(closed, peer, 80) != policy.Deny {
			t.Errorf("%s: the option is not this endpoint's alone", when)
		}
		w.check()
	}
	check("after the start")
	w.start()
	check("after the daemon's restart")
	if _, err := run(1, 1, map[string]string{"sluice.ingress": "@any"}); err == nil {
		t.Error("endpoint made again with other options")
	}
	all, _ := w.Endpoints(t.Context())
	i := slices.IndexFunc(all, func(e api.Endpoint) bool { return e.ID == opened.ID })
	if all[i].Options["sluice.ingress"] != "label:app=web" {
		t.Errorf("shown as %+v", all[i])
	}
	// A service of the container's project: neither is known when the endpoint is made.
	_, err = run(1, 7, map[string]string{"sluice.egress": "db:5432"}, "com.docker.compose.project=shop", "com.docker.compose.service=api")
	w.must(err)
	if _, err := run(1, 8, map[string]string{"sluice.egress": "db:5432"}); err == nil || !strings.Contains(err.Error(), "compose project") {
		t.Errorf("a service beside a container of no project: %v", err)
	}
}

// TestNames: a container has its name for a label while a policy mentions it, whoever brings the policy.
func TestNames(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	one, two := w.run(1, 1, "app=web"), w.run(1, 2, "app=web")
	if one.Identity != two.Identity {
		t.Fatal("replicas have identities of their own")
	}
	same := func(when string, want bool) {
		t.Helper()
		w.settle()
		a, _ := w.endpoint(one.ID)
		b, _ := w.endpoint(two.ID)
		if (a.Identity == b.Identity) != want || (w.names(one) == "") != want || w.names(two) != "" {
			t.Errorf("%s: identities %d and %d, names %q and %q", when, a.Identity, b.Identity, w.names(one), w.names(two))
		}
		w.check()
	}
	// The programs of a policy that mentions a name never run before the container's identity has it.
	db := w.run(1, 3, "sluice.ingress=name:c1:5432")
	if w.closedTo(db, one, 5432) != policy.Allow || w.closedTo(db, two, 5432) != policy.Deny {
		t.Error("the name is not enforced when Join is answered")
	}
	same("mentioned by a label", false)
	w.start()
	same("after the daemon's restart", false)
	w.must(w.stop(1, 3))
	same("the mentioning container is gone", true)
	_, err := w.Relabel(t.Context(), two.ID, relabel("sluice.egress=name:c1"))
	w.must(err)
	if w.names(one) != "c1" {
		t.Error("a live label does not name")
	}
	_, err = w.Relabel(t.Context(), two.ID, api.LabelChange{Remove: []string{"sluice.egress"}})
	w.must(err)
	same("the label is gone", true)
	w.apply(`policies:
- name: by-name
  for: name:c1
  ingress: ["@none"]
`)
	if w.names(one) != "c1" {
		t.Error("a policy does not name")
	}
	w.settle()
	if w.closedTo(one, two, 80) != policy.Deny || w.closedTo(two, one, 80) != policy.Allow {
		t.Error("the policy by name is not enforced")
	}
	same("mentioned by a policy", false)
	rename := func(n int, name string) {
		w.engine.do(func() {
			c := w.engine.endpoints[id("ee", 1000+n)]
			c.Name = name
			w.engine.endpoints[id("ee", 1000+n)] = c
		})
	}
	rename(1, "other")
	rename(2, "c1")
	_, err = w.Reconcile(t.Context())
	w.must(err)
	w.settle()
	if w.names(one) != "" || w.names(two) != "c1" || w.closedTo(two, one, 80) != policy.Deny || w.closedTo(one, two, 80) != policy.Allow {
		t.Error("after docker rename the policy is about the wrong container")
	}
	w.check()
	_, err = w.DeletePolicies(t.Context(), []string{"by-name"})
	w.must(err)
	w.settle()
	if w.names(one)+w.names(two) != "" {
		t.Error("nobody mentions the name any more")
	}
	w.check()
	if n := w.mentions; len(n.labels)+len(n.announced)+len(n.policies) != 0 {
		t.Errorf("left are %+v", n)
	}
}

// TestLAN: prefixes that come and go touch those whose policies speak of the local network, and no others.
func TestLAN(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.run(1, 1, "app=web")
	lan := w.run(1, 2, "sluice.egress=@lan:443")
	judge := func(addr string) policy.Verdict {
		p, _ := w.kernel.program(lan.Veth.Slot)
		v, _ := policy.Judge(policy.Egress, p.Egress, identity.World, policy.ClassWorld, netip.MustParseAddr(addr), policy.Key(policy.ProtocolTCP, 443))
		return v
	}
	set := func(prefixes ...string) int {
		var now datapath.HostNetwork
		for _, p := range prefixes {
			now.LAN = append(now.LAN, netip.MustParsePrefix(p))
		}
		before := w.kernel.loads
		w.SetHostNetwork(now)
		w.settle()
		w.check()
		return w.kernel.loads - before
	}
	if judge("203.0.113.9") != policy.Deny || judge("2001:db8::9") != policy.Deny {
		t.Error("an address that is not local is allowed")
	}
	if n := set("203.0.113.0/24", "2001:db8::/64"); n != 1 {
		t.Errorf("%d programs were made anew, want that of one container", n)
	}
	if judge("203.0.113.9") != policy.Allow || judge("2001:db8::9") != policy.Allow || judge("198.51.100.1") != policy.Deny {
		t.Error("the local network is not what is enforced")
	}
	if n := set("203.0.113.0/24", "2001:db8::/64"); n != 0 {
		t.Errorf("%d programs were made anew for nothing", n)
	}
	if set(); judge("203.0.113.9") != policy.Deny {
		t.Error("an address that is local no more is allowed")
	}
}

func TestPoliciesListed(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.apply(only("web"))
	project := "com.docker.compose.project=shop"
	w.run(1, 1, "app=db")
	w.run(1, 2, project, "com.docker.compose.service=api", "sluice.egress=db:5432, @internet", "sluice.mode=audit")
	w.run(1, 3, project, "com.docker.compose.service=api", "sluice.egress=db:5432, @internet", "sluice.mode=audit")
	w.settle()
	list := func() map[string]api.Policy {
		all, err := w.Policies(t.Context())
		w.must(err)
		byName := map[string]api.Policy{}
		for _, p := range all {
			byName[p.Name] = p
		}
		return byName
	}
	got := list()
	if len(got) != 2 {
		t.Fatalf("listed %v", slices.Collect(maps.Keys(got)))
	}
	db, labels := got["db"], got["labels:c2"]
	if db.Origin != api.OriginDocument || !slices.Equal(db.Unresolved, []string{"label:app=web"}) {
		t.Errorf("document: %+v", db)
	}
	if labels.Origin != api.OriginLabel || labels.Source != "labels of c2, c3" || len(labels.Endpoints) != 2 || !slices.Equal(labels.Unresolved, []string{"db"}) {
		t.Errorf("labels: %+v", labels)
	}
	if !strings.Contains(labels.Text, "sluice.egress: db:5432, '@internet'") && !strings.Contains(labels.Text, "sluice.egress: db:5432, @internet") || strings.Contains(labels.Text, "sluice.network") {
		t.Errorf("text:\n%s", labels.Text)
	}
	w.run(1, 4, project, "com.docker.compose.service=db", "app=web")
	got = list()
	if len(got["db"].Unresolved)+len(got["labels:c2"].Unresolved) != 0 {
		t.Errorf("unresolved: %v and %v", got["db"].Unresolved, got["labels:c2"].Unresolved)
	}
}
