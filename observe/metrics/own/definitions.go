package own

import (
	"slices"

	"github.com/sluice-net/sluice/observe/metrics/catalog"
)

// containerLabels say which container a series is about, on which of its networks.
var containerLabels = []string{"project", "service", "container", "network"}

// Buckets, seconds.
var (
	loadTime = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	callTime = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

// What Collector reads.
var (
	buildInfo = catalog.Metric{Name: "sluice_build_info", Kind: catalog.Gauge, Labels: []string{"version", "commit", "goversion"},
		Help: "What the daemon was built from, always 1"}

	endpoints = catalog.Metric{Name: "sluice_endpoints", Kind: catalog.Gauge, Labels: []string{"state"},
		Help: "Places of containers on networks by state: ready, closed (labels unknown) or failed (the newest program could not be loaded, or labels are refused)"}
	endpointLimit = catalog.Metric{Name: "sluice_endpoints_capacity", Kind: catalog.Gauge, Help: "Places of containers on networks for which there is room (--slots)"}
	networks      = catalog.Metric{Name: "sluice_networks", Kind: catalog.Gauge, Help: "Docker networks of the driver"}
	policies      = catalog.Metric{Name: "sluice_policies", Kind: catalog.Gauge, Help: "Policies in force, without those that are labels of containers"}
	policyFiles   = catalog.Metric{Name: "sluice_policy_files", Kind: catalog.Gauge, Labels: []string{"state"},
		Help: "Files of the policy directory: active, or broken, of which the version before is in force"}
	identities = catalog.Metric{Name: "sluice_identities", Kind: catalog.Gauge, Help: "Sets of labels that have a number"}
	ports      = catalog.Metric{Name: "sluice_published_ports", Kind: catalog.Gauge, Help: "Published ports"}
	generation = catalog.Metric{Name: "sluice_policy_generation", Kind: catalog.Gauge,
		Help: "Number of the newest change of policies, labels and endpoints since the daemon started, which commands call revision"}
	applied = catalog.Metric{Name: "sluice_policy_generation_applied", Kind: catalog.Gauge,
		Help: "Number of the newest such change that all programs were made after"}

	forwardedPackets = catalog.Metric{Name: "sluice_forward_packets_total", Kind: catalog.Counter, Labels: []string{"direction"},
		Help: "Packets that programs let pass, counted exactly in the kernel"}
	forwardedBytes = catalog.Metric{Name: "sluice_forward_bytes_total", Kind: catalog.Counter, Labels: []string{"direction"},
		Help: "Bytes that programs let pass, counted exactly in the kernel"}
	droppedPackets = catalog.Metric{Name: "sluice_drop_packets_total", Kind: catalog.Counter, Labels: []string{"reason", "direction"},
		Help: "Packets that programs dropped, counted exactly in the kernel"}
	droppedBytes = catalog.Metric{Name: "sluice_drop_bytes_total", Kind: catalog.Counter, Labels: []string{"reason", "direction"},
		Help: "Bytes that programs dropped, counted exactly in the kernel"}
	containerPackets = catalog.Metric{Name: "sluice_container_packets_total", Kind: catalog.Counter, Labels: slices.Concat(containerLabels, []string{"direction"}),
		Help: "Packets that a container sent (egress) or got (ingress) and no policy stopped, counted exactly in the kernel"}
	containerBytes = catalog.Metric{Name: "sluice_container_bytes_total", Kind: catalog.Counter, Labels: slices.Concat(containerLabels, []string{"direction"}),
		Help: "Bytes that a container sent (egress) or got (ingress) and no policy stopped, counted exactly in the kernel"}
	containerRevision = catalog.Metric{Name: "sluice_container_policy_revision", Kind: catalog.Gauge, Labels: containerLabels,
		Help: "Revision of the policy that a container's programs were made from"}
	containerInstructions = catalog.Metric{Name: "sluice_container_program_instructions", Kind: catalog.Gauge, Labels: containerLabels,
		Help: "Instructions of a container's two programs as the kernel runs them"}
	containerPolicy = catalog.Metric{Name: "sluice_container_enforced", Kind: catalog.Gauge, Labels: slices.Concat(containerLabels, []string{"direction"}),
		Help: "1 where a policy restricts a container in the direction, else 0"}

	mapEntries = catalog.Metric{Name: "sluice_bpf_map_entries", Kind: catalog.Gauge, Labels: []string{"map"},
		Help: "Entries of a BPF map, expired ones that are not swept yet included"}
	mapCapacity = catalog.Metric{Name: "sluice_bpf_map_capacity", Kind: catalog.Gauge, Labels: []string{"map"},
		Help: "Entries for which a BPF map has room; flow tables and nat forget the oldest when full"}
	programs = catalog.Metric{Name: "sluice_bpf_programs", Kind: catalog.Gauge, Help: "Programs of containers that are in their slots"}

	eventsSeen = catalog.Metric{Name: "sluice_events_total", Kind: catalog.Counter, Help: "Records that programs wrote and the daemon read"}
	eventsLost = catalog.Metric{Name: "sluice_events_lost_total", Kind: catalog.Counter,
		Help: "Records that programs did not write, for their budgets were used up or the ring buffer was full"}
	eventsUndecodable = catalog.Metric{Name: "sluice_events_undecodable_total", Kind: catalog.Counter, Help: "Records of the ring buffer that are of another version"}
	flowsSeen         = catalog.Metric{Name: "sluice_flows_total", Kind: catalog.Counter, Help: "Flows that were put into memory"}
	flowsHeld         = catalog.Metric{Name: "sluice_flows_in_memory", Kind: catalog.Gauge, Help: "Flows in memory"}
	flowsCapacity     = catalog.Metric{Name: "sluice_flows_capacity", Kind: catalog.Gauge, Help: "Flows for which there is room in memory (--flow-memory)"}

	exportFlows = catalog.Metric{Name: "sluice_export_flows_total", Kind: catalog.Counter, Labels: []string{"export", "type", "outcome"},
		Help: "Flows for an export: exported, failed (the receiver refused them) or lost (overwritten in memory before they could be sent)"}
	exportUp = catalog.Metric{Name: "sluice_export_up", Kind: catalog.Gauge, Labels: []string{"export", "type"},
		Help: "0 if the receiver of an export does not take what it is sent, else 1"}
	exportWaiting = catalog.Metric{Name: "sluice_export_waiting_flows", Kind: catalog.Gauge, Labels: []string{"export", "type"},
		Help: "Flows in memory that an export has still to send"}

	exporterUp = catalog.Metric{Name: "hubble_dynamic_exporter_up", Kind: catalog.Gauge, Labels: []string{"name"},
		Help: "The same as sluice_export_up"}
	exporterChanges = catalog.Metric{Name: "hubble_dynamic_exporter_reconfigurations_total", Kind: catalog.Counter, Labels: []string{"op"},
		Help: "Exports that were added, updated and removed"}
	exporterHash = catalog.Metric{Name: "hubble_dynamic_exporter_config_hash", Kind: catalog.Gauge,
		Help: "Hash of the settings of all exports; 0: there are none"}
	exporterApplied = catalog.Metric{Name: "hubble_dynamic_exporter_config_last_applied", Kind: catalog.Gauge,
		Help: "When settings of exports were last put in force, seconds since 1970; 0: never"}

	flowStoreBytes   = catalog.Metric{Name: "sluice_flow_store_bytes", Kind: catalog.Gauge, Help: "Size of the files of flows (--flow-store)"}
	flowStoreFlows   = catalog.Metric{Name: "sluice_flow_store_flows", Kind: catalog.Gauge, Help: "Flows in the files of flows"}
	flowStoreWritten = catalog.Metric{Name: "sluice_flow_store_written_total", Kind: catalog.Counter, Help: "Flows that were written to the files of flows"}
	flowStoreLost    = catalog.Metric{Name: "sluice_flow_store_lost_total", Kind: catalog.Counter,
		Help: "Flows that were not written to the files of flows, for the disk was too slow or full"}
	flowStoreDamaged = catalog.Metric{Name: "sluice_flow_store_damaged_blocks_total", Kind: catalog.Counter,
		Help: "Blocks of flows that could not be read"}

	addressesUsed = catalog.Metric{Name: "sluice_addresses_used", Kind: catalog.Gauge, Labels: []string{"network", "subnet"},
		Help: "Addresses of a subnet (of its range, if it has one) that are given away, the gateway's included"}
	addressesCapacity = catalog.Metric{Name: "sluice_addresses_capacity", Kind: catalog.Gauge, Labels: []string{"network", "subnet"},
		Help: "Addresses of a subnet (of its range, if it has one) that can be given away"}
	storeBytes = catalog.Metric{Name: "sluice_store_bytes", Kind: catalog.Gauge, Help: "Size of the store's file"}
	failures   = catalog.Metric{Name: "sluice_collect_errors_total", Kind: catalog.Counter, Labels: []string{"source"},
		Help: "Scrapes in which a source of metrics could not be read, so that its metrics were missing"}
)

// What Recorder counts.
var (
	regenerations = catalog.Metric{Name: "sluice_regenerations_total", Kind: catalog.Counter, Labels: []string{"outcome"},
		Help: "Replacements of containers' programs: success, or failure, after which the ones before run on"}
	regenerationTime = catalog.Metric{Name: "sluice_regeneration_duration_seconds", Kind: catalog.Histogram, Buckets: loadTime,
		Help: "Time from a compiled policy to running programs, for one container"}
	passes = catalog.Metric{Name: "sluice_regeneration_passes_total", Kind: catalog.Counter, Labels: []string{"outcome"},
		Help: "Passes over all containers after changes: success, or failure, if one could not be made"}
	passTime = catalog.Metric{Name: "sluice_regeneration_pass_duration_seconds", Kind: catalog.Histogram, Buckets: loadTime,
		Help: "Time that a pass takes, from records to running programs of all containers that a change concerns"}
	pluginTime = catalog.Metric{Name: "sluice_plugin_request_duration_seconds", Kind: catalog.Histogram, Labels: []string{"method", "code"}, Buckets: callTime,
		Help: "Time that Docker waits for an answer of the network and IPAM driver, by method and HTTP status"}
	apiTime = catalog.Metric{Name: "sluice_api_request_duration_seconds", Kind: catalog.Histogram, Labels: []string{"route", "code"}, Buckets: callTime,
		Help: "Time that requests to the API's socket take, by route and HTTP status, without streams"}
	apiStreams = catalog.Metric{Name: "sluice_api_streams_total", Kind: catalog.Counter, Labels: []string{"route", "code"},
		Help: "Streams of the API that ended, by route and HTTP status"}
)

// Definitions returns all metrics of the package but those of the Go runtime and of the process.
func Definitions() []catalog.Metric {
	return slices.Concat(collected, []catalog.Metric{
		regenerations, regenerationTime, passes, passTime, pluginTime, apiTime, apiStreams,
	})
}

// collected are those of Collector.
var collected = []catalog.Metric{
	buildInfo, endpoints, endpointLimit, networks, policies, policyFiles, identities, ports, generation, applied,
	forwardedPackets, forwardedBytes, droppedPackets, droppedBytes, containerPackets, containerBytes, containerRevision,
	containerInstructions, containerPolicy, mapEntries, mapCapacity, programs, eventsSeen, eventsLost, eventsUndecodable, flowsSeen,
	flowsHeld, flowsCapacity, exportFlows, exportUp, exportWaiting, exporterUp, exporterChanges, exporterHash, exporterApplied,
	flowStoreBytes, flowStoreFlows, flowStoreWritten, flowStoreLost, flowStoreDamaged, addressesUsed, addressesCapacity, storeBytes, failures,
}
