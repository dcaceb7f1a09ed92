// Package convert makes Hubble's messages of flows.
//
// Converter (convert.go) holds what is the same for all flows of a daemon; Flow is the whole message, Response and Export
// are what GetFlows sends and what an export writes. What filters and metrics need of a flow without building a message
// has a function of its own here: Verdict, EventType, TrafficDirection and so on, so that a filter and the message never
// disagree. Mask (mask.go) leaves out fields.
//
// docs/hubble.md says which field has what. The package is pure but for one question about the names of interfaces.
package convert
