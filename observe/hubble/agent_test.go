package hubble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc/codes"
)

// agentEvents asks for events and returns the first n, all with -1, said in short.
func (f *fixture) agentEvents(r *observerpb.GetAgentEventsRequest, n int) (string, error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	stream, err := f.observer.GetAgentEvents(ctx, r)
	if err != nil {
		f.t.Fatal(err)
	}
	var got []string
	for ; n != 0; n-- {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		e := m.GetAgentEvent()
		words := []string{e.GetType().String(), e.GetEndpointUpdate().GetPodName(), e.GetEndpointRegenerate().GetError()}
		if p := e.GetPolicyUpdate(); p != nil {
			words = append(words, p.GetLabels()[0], fmt.Sprint(p.GetRevision(), "/", p.GetRuleCount()))
		}
		got = append(got, strings.Join(strings.Fields(strings.Join(words, " ")), " "))
	}
	return strings.Join(got, "\n"), nil
}

func TestAgentEvents(t *testing.T) {
	f := serve(t, 10)
	f.agent.Started()
	f.clock.set(noon.Add(time.Minute))
	f.agent.EndpointCreated(web)
	f.agent.EndpointRegenerated(web, nil)
	f.agent.EndpointRegenerated(web, io.ErrUnexpectedEOF)
	f.clock.set(noon.Add(2 * time.Minute))
	f.agent.PolicyChanged("shop/db", 7, 3, false)
	f.agent.PolicyChanged("shop/db", 8, 0, true)
	f.agent.EndpointDeleted(web)
	all := []string{
		"AGENT_STARTED", "ENDPOINT_CREATED web", "ENDPOINT_REGENERATE_SUCCESS", "ENDPOINT_REGENERATE_FAILURE unexpected EOF",
		"POLICY_UPDATED sluice:policy=shop/db 7/3", "POLICY_DELETED sluice:policy=shop/db 8/0", "ENDPOINT_DELETED web",
	}
	for name, c := range map[string]struct {
		request *observerpb.GetAgentEventsRequest
		want    []string
	}{
		"all":     {&observerpb.GetAgentEventsRequest{}, all},
		"last":    {&observerpb.GetAgentEventsRequest{Number: 2}, all[5:]},
		"first":   {&observerpb.GetAgentEventsRequest{Number: 2, First: true}, all[:2]},
		"since":   {&observerpb.GetAgentEventsRequest{Since: at(120), Number: 1}, all[4:]},
		"until":   {&observerpb.GetAgentEventsRequest{Until: at(60)}, all[:4]},
		"between": {&observerpb.GetAgentEventsRequest{Since: at(60), Until: at(60)}, all[1:4]},
	} {
		if got, err := f.agentEvents(c.request, -1); err != nil || got != strings.Join(c.want, "\n") {
			t.Errorf("%s: got %v\n%s\nwant\n%s", name, err, got, strings.Join(c.want, "\n"))
		}
	}
	_, err := f.agentEvents(&observerpb.GetAgentEventsRequest{Follow: true, First: true}, -1)
	wantCode(t, err, codes.InvalidArgument, "first")
}

func TestAgentEventsFollow(t *testing.T) {
	f := serve(t, 10)
	f.agent.EndpointCreated(web)
	type answer struct {
		text string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		text, err := f.agentEvents(&observerpb.GetAgentEventsRequest{Follow: true, Number: 1}, 2)
		done <- answer{text, err}
	}()
	eventually(t, "the stream begins", func() bool { return len(f.server.walks) == 1 })
	f.agent.EndpointCreated(cron)
	f.agent.EndpointDeleted(web)
	got := <-done
	// The stream began before the second event, or after it, but not between the last of the past and the first to come.
	if got.err != nil || got.text != "ENDPOINT_CREATED web\nENDPOINT_CREATED cron" && got.text != "ENDPOINT_CREATED cron\nENDPOINT_DELETED web" {
		t.Errorf("got %s, %v", got.text, got.err)
	}
}

func TestAgentEventsFollowUntil(t *testing.T) {
	f := serve(t, 10, func(o *Options) { o.Agent = NewAgentLog(o.Convert, nil) })
	until := time.Now().Add(100 * time.Millisecond)
	request := &observerpb.GetAgentEventsRequest{Follow: true, Until: at(int(until.Sub(noon).Seconds()))}
	if got, err := f.agentEvents(request, -1); err != nil || got != "" {
		t.Errorf("got %s, %v", got, err)
	}
}

// TestAgentLogForgets: the log is bounded, and who follows it misses nothing that is still there.
func TestAgentLogForgets(t *testing.T) {
	l := NewAgentLog(serveConverter(), nil)
	_, next, _ := l.from(0)
	for i := range agentEvents + 10 {
		l.PolicyChanged(fmt.Sprint(i), 1, 1, false)
	}
	events, next, _ := l.from(next)
	if len(events) > agentEvents || len(events) < agentEvents/2 || next != agentEvents+10 {
		t.Errorf("%d events are kept, the next is %d", len(events), next)
	}
	if last := events[len(events)-1].message.GetAgentEvent().GetPolicyUpdate().GetLabels()[0]; !strings.HasSuffix(last, fmt.Sprint(agentEvents+9)) {
		t.Errorf("the last is %s", last)
	}
}

func TestDebugEvents(t *testing.T) {
	f := serve(t, 10)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := f.observer.GetDebugEvents(ctx, &observerpb.GetDebugEventsRequest{Number: 5})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Recv(); err != io.EOF {
		t.Errorf("got %v, %v, want nothing", m, err)
	}
	stream, err = f.observer.GetDebugEvents(ctx, &observerpb.GetDebugEventsRequest{Follow: true, First: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantCode(t, err, codes.InvalidArgument, "first")
}
