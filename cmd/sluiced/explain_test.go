package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/testutil"
)

// apps are the containers of the test, by the name of each and the label app.
var apps = []string{"one", "two", "three", "four"}

// randomPolicies makes documents in which the containers meet often.
func randomPolicies(g *rand.Rand) string {
	pick := func(from ...string) string { return from[g.IntN(len(from))] }
	var b strings.Builder
	for i := range 1 + g.IntN(3) {
		fmt.Fprintf(&b, "---\napiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: p%d}\nspec:\n", i)
		fmt.Fprintf(&b, "  endpointSelector: {%s}\n", pick("", "matchLabels: {app: one}", "matchLabels: {app: two}",
			"matchExpressions: [{key: app, operator: In, values: [three, four]}]"))
		fmt.Fprintf(&b, "  enableDefaultDeny: {ingress: %v, egress: %v}\n", g.IntN(2) == 0, g.IntN(3) == 0)
		for _, section := range []string{"ingress", "ingressDeny", "egress", "egressDeny"} {
			if g.IntN(2) == 0 && section != "ingress" {
				continue
			}
			ends := map[bool]string{true: "from", false: "to"}[strings.HasPrefix(section, "in")]
			peer := pick("Endpoints: [{}]", "Endpoints: [{matchLabels: {app: one}}]", "Endpoints: [{matchLabels: {app: four}}]",
				"Entities: [host]", "Entities: [all]", "Endpoints: [{matchExpressions: [{key: app, operator: NotIn, values: [two]}]}]")
			fmt.Fprintf(&b, "  %s:\n  - %s%s\n", section, ends, peer)
			if g.IntN(3) > 0 {
				fmt.Fprintf(&b, "    toPorts: [{ports: [{port: \"%s\", protocol: %s}]}]\n", pick("80", "81"), pick("TCP", "UDP", "ANY"))
			}
		}
	}
	return b.String()
}

// randomLabels changes a container's own policy.
func randomLabels(g *rand.Rand, name string) api.LabelRequest {
	r := api.LabelRequest{Ref: name + "-1", Waiting: api.Waiting{Wait: true}}
	r.Add = map[string]string{}
	for _, key := range []string{"sluice.ingress", "sluice.egress", "sluice.ingress.deny", "sluice.egress.deny"} {
		if g.IntN(4) > 0 {
			r.Remove = append(r.Remove, key)
			continue
		}
		r.Add[key] = []string{"name:one-1:80", "name:two-1:{80,81}/udp", "label:app=three", "@net:80-81", "@none", "@any:81/any"}[g.IntN(6)]
	}
	return r
}

// answers starts servers that send back what they get, and returns what ends them.
func (s sandbox) answers(t *testing.T) (end func()) {
	t.Helper()
	var closers []func() error
	err := s.Do(func() error {
		for _, port := range []string{"80", "81"} {
			l, err := net.Listen("tcp", "0.0.0.0:"+port)
			if err != nil {
				return err
			}
			u, err := net.ListenPacket("udp", "0.0.0.0:"+port)
			if err != nil {
				return err
			}
			closers = append(closers, l.Close, u.Close)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					c.Close()
				}
			}()
			go func() {
				buf := make([]byte, 64)
				for {
					n, from, err := u.ReadFrom(buf)
					if err != nil {
						return
					}
					_, _ = u.WriteTo(buf[:n], from)
				}
			}()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		for _, c := range closers {
			_ = c()
		}
	}
}

// reaches connects, or sends a datagram and waits for it to come back.
func (s sandbox) reaches(network string, to netip.AddrPort, within time.Duration) (ok bool, err error) {
	var c net.Conn
	err = s.Do(func() (err error) {
		c, err = net.DialTimeout(network, to.String(), within)
		return err
	})
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.EACCES) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer c.Close()
	if network == "tcp" {
		return true, nil
	}
	for end := time.Now().Add(within); time.Now().Before(end); {
		if _, err := c.Write([]byte("hello")); err != nil {
			continue
		}
		_ = c.SetReadDeadline(time.Now().Add(within / 3))
		if _, err := c.Read(make([]byte, 64)); err == nil {
			return true, nil
		}
	}
	return false, nil
}

// TestPrivilegedExplainAgreesWithPackets: under random policies, what explanations say of connections is what becomes of
// them, and the loaded programs were asked.
func TestPrivilegedExplainAgreesWithPackets(t *testing.T) {
	testutil.Privileged(t)
	h := newHost(t)
	h.start()
	h.makeNetwork()
	boxes := map[string]sandbox{}
	for i, app := range apps {
		boxes[app] = h.container(fmt.Sprintf("ee%02d", i), app+"-1")
		defer boxes[app].answers(t)()
	}
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	seen := map[string]int{}
	for round := range rounds {
		g := rand.New(rand.NewPCG(uint64(round), 11))
		text := randomPolicies(g)
		_, err := h.control.DeletePolicies(t.Context(), api.DeleteRequest{All: true, Waiting: api.Waiting{Wait: true}})
		if err != nil {
			t.Fatal(err)
		}
		for _, app := range apps {
			if _, err := h.control.Label(t.Context(), randomLabels(g, app)); err != nil {
				t.Fatal(err)
			}
		}
		_, err = h.control.ApplyPolicies(t.Context(), api.ApplyRequest{
			Sources: []api.PolicySource{{Source: "random.yaml", Text: text}}, Waiting: api.Waiting{Wait: true}})
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		var mu sync.Mutex
		var all sync.WaitGroup
		for i, from := range apps {
			for j, to := range apps {
				for _, what := range []string{"80/tcp", "81/tcp", "80/udp", "81/udp"} {
					if i == j {
						continue
					}
					all.Go(func() {
						verdict := h.compare(boxes[from], from, to, j, what, text)
						mu.Lock()
						defer mu.Unlock()
						seen[verdict]++
					})
				}
			}
		}
		all.Wait()
	}
	t.Logf("%v", seen)
	if seen[api.VerdictAllowed] < 10*rounds/3 || seen[api.VerdictDenied] < 10*rounds/3 {
		t.Errorf("the test tests little: %v", seen)
	}
	for i, app := range apps {
		if err := h.detach(fmt.Sprintf("ee%02d", i), h.insist); err != nil {
			t.Fatal(err)
		}
		boxes[app].close(t)
	}
	h.removeNetwork()
	h.end(syscall.SIGTERM)
}

// compare asks for an explanation, tries the connection, and returns the verdict.
func (h *host) compare(box sandbox, from, to string, server int, what, text string) string {
	e, err := h.control.Explain(h.t.Context(), api.ExplainRequest{From: from + "-1", To: to + "-1:" + what})
	if err != nil {
		h.t.Error(err)
		return ""
	}
	for _, p := range e.Paths {
		for _, s := range p.Steps {
			if s.By != api.ByProgram {
				h.t.Errorf("%s to %s:%s: %s was judged by %s", from, to, what, s.Step, s.By)
			}
		}
	}
	if len(e.Notes) > 0 {
		h.t.Errorf("%s to %s:%s: %q", from, to, what, e.Notes)
	}
	port, network, _ := strings.Cut(what, "/")
	within := 10 * time.Second
	if e.Verdict != api.VerdictAllowed {
		within = 300 * time.Millisecond
	}
	addr := netip.MustParseAddrPort(h.held[fmt.Sprintf("ee%02d", server)].Addr().String() + ":" + port)
	reached, err := box.reaches(network, addr, within)
	if err != nil {
		h.t.Errorf("%s to %s:%s: %v", from, to, what, err)
	}
	if reached != (e.Verdict == api.VerdictAllowed) {
		h.t.Errorf("%s to %s:%s is %s and reached %v:\n%+v\n%s", from, to, what, e.Verdict, reached, e.Paths, text)
	}
	return e.Verdict
}
