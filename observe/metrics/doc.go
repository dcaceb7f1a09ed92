// Package metrics counts flows for Prometheus, by the names that Hubble gives its metrics.
//
// Config is what a user asks for (config.go), contexts are the labels that say who the ends of a flow are
// (contexts.go), kinds the metrics that there are (kinds.go). Flows reads the ring and counts (flows.go); each metric
// keeps its series (series.go), which are bounded in number and go a minute after the containers that they are about.
// Handler serves everything that is in a registry (handler.go).
//
// Package own has the daemon's own metrics. Drops are counted exactly there: flows are told within budgets, and a
// packet of a flow that goes on is no flow.
package metrics
