package metrics

import (
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

func TestContexts(t *testing.T) {
	named := func(f *observe.Flow) { f.DestinationNames = []string{"example.org", "www.example.org"} }
	for name, c := range map[string]struct {
		options string
		flow    *observe.Flow
		want    string
	}{
		"pod":               {"sourceContext=pod;destinationContext=pod", flow(), "destination=default/db,source=shop/shop-web-1"},
		"pod of the world":  {"destinationContext=pod", flow(to(world)), "destination="},
		"fallback":          {"destinationContext=pod|reserved-identity|ip", flow(to(world)), "destination=reserved:world"},
		"fallback to names": {"destinationContext=dns|ip", flow(to(world), named), "destination=example.org,www.example.org"},
		"fallback to ip":    {"destinationContext=dns|ip", flow(to(world)), "destination=10.90.0.3"},
		"pod-name":          {"sourceContext=pod-name", flow(), "source=shop-web-1"},
		"namespace":         {"sourceContext=namespace;destinationContext=namespace", flow(), "destination=default,source=shop"},
		"workload":          {"sourceContext=workload;destinationContext=workload-name", flow(), "destination=db,source=shop/web"},
		"app":               {"sourceContext=app;destinationContext=app", flow(), "destination=postgres,source=web"},
		"reserved":          {"sourceContext=reserved-identity", flow(from(host)), "source=reserved:host"},
		"reserved of none":  {"sourceContext=reserved-identity", flow(), "source="},
		"by direction": {"sourceContext=ip;sourceEgressContext=pod-name;destinationIngressContext=ip", flow(),
			"destination=,source=shop-web-1"},
		"by the other direction": {"sourceContext=ip;sourceEgressContext=pod-name;destinationIngressContext=ip",
			flow(func(f *observe.Flow) { f.Kernel.Point = abi.PointIngress }), "destination=10.90.0.3,source=10.90.0.2"},
		"labels": {"labelsContext=source_ip,source_pod,source_namespace,source_workload,source_workload_kind,source_app,traffic_direction", flow(),
			"source_app=web,source_ip=10.90.0.2,source_namespace=shop,source_pod=shop-web-1,source_workload=web,source_workload_kind=Service,traffic_direction=egress"},
		"labels of Docker": {"labelsContext=source_project,source_service,source_container,source_network,destination_project,destination_service,destination_container", flow(to(world)),
			"destination_container=world,destination_project=,destination_service=,source_container=shop-web-1,source_network=front,source_project=shop,source_service=web"},
		"both": {"labelsContext=source_service;sourceContext=pod-name", flow(), "source=shop-web-1,source_service=web"},
	} {
		t.Run(name, func(t *testing.T) {
			got := exposed(t, count(t, "tcp:"+c.options, c.flow), "hubble_tcp_flags_total")
			if want := sorted(c.want + ",family=IPv4,flag=SYN 1"); len(got) != 1 || sorted(got[0]) != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestIdentityContext: the labels are those that flows have.
func TestIdentityContext(t *testing.T) {
	got := exposed(t, count(t, "tcp:destinationContext=identity", flow()), "hubble_tcp_flags_total")
	if len(got) != 1 || got[0] != "destination=container:app=postgres,k8s:app=db,k8s:io.kubernetes.pod.namespace=default,family=IPv4,flag=SYN 1" {
		t.Errorf("got %q", got)
	}
}
