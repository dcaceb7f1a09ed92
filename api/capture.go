package api

import "time"

// The bounds of CaptureRequest.SnapLength, bytes.
const (
	MinSnapLength = 14   // the Ethernet header
	MaxSnapLength = 9216 // all of a packet
)

// CaptureRequest asks for the packets of containers as the BPF programs see them.
type CaptureRequest struct {
	Refs []string `json:"refs"` // containers, services, endpoints
	// Filter is in tcpdump's language (package internal/pcapfilter); names of hosts are containers.
	Filter     string `json:"filter,omitempty"`
	DropsOnly  bool   `json:"dropsOnly,omitempty"`
	SnapLength uint32 `json:"snapLength,omitempty"` // bytes of a packet; 0: all
}

// Captured is a packet, or says that packets were lost.
type Captured struct {
	Time      time.Time `json:"time"`
	Container string    `json:"container"` // whose program saw it
	Network   string    `json:"network,omitempty"`
	Point     string    `json:"point,omitempty"`   // Egress: it left the container; Ingress: it reached it
	Verdict   string    `json:"verdict,omitempty"` // VerdictForwarded or VerdictDropped
	Reason    string    `json:"reason,omitempty"`
	Policy    string    `json:"policy,omitempty"` // responsible document
	Rule      string    `json:"rule,omitempty"`   // place in it
	Length    int       `json:"length,omitempty"` // of the frame, bytes
	Frame     []byte    `json:"frame,omitempty"`  // its first bytes, from the Ethernet header on
	// Lost packets of the container are missing since the stream began. There is no packet then.
	Lost uint64 `json:"lost,omitempty"`
}
