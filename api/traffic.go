package api

import "time"

// What rows of traffic are about.
const (
	TrafficContainers = "containers"
	TrafficServices   = "services" // of compose; containers without a service by themselves
	TrafficPeers      = "peers"    // who opened connections to whom
)

// The bounds of TrafficRequest.Interval.
const (
	MinTrafficInterval = 200 * time.Millisecond
	MaxTrafficInterval = time.Minute
)

// TrafficRequest asks for a stream of rates.
type TrafficRequest struct {
	By       string        `json:"by"`       // TrafficContainers, TrafficServices or TrafficPeers
	Interval time.Duration `json:"interval"` // ns between two samples
	Count    int           `json:"count,omitempty"`
}

// Traffic is one sample: what went on since the one before.
type Traffic struct {
	Time time.Time     `json:"time"`
	Over time.Duration `json:"over"` // ns that the rates are means of
	Rows []TrafficRow  `json:"rows"`
	// Lost events were not reported or not read meanwhile: there were more drops than the rows say.
	Lost uint64 `json:"lost,omitempty"`
	// Hidden rows, those with the least traffic, are left out.
	Hidden int `json:"hidden,omitempty"`
}

// TrafficRow is one container, service, or pair of peers. Rates are means of the interval.
type TrafficRow struct {
	Name      string  `json:"name"`           // PROJECT/SERVICE, or the container
	Peer      string  `json:"peer,omitempty"` // whom Name opened connections to
	Container string  `json:"container,omitempty"`
	Project   string  `json:"project,omitempty"`
	Service   string  `json:"service,omitempty"`
	Sent      Rate    `json:"sent"`     // by Name
	Received  Rate    `json:"received"` // by Name
	Drops     float64 `json:"drops"`    // packets a second
	Reason    string  `json:"reason,omitempty"`
	New       float64 `json:"new"`  // connections a second
	Open      int     `json:"open"` // connections
}

// Rate is traffic a second.
type Rate struct {
	Bytes   float64 `json:"bytes"`
	Packets float64 `json:"packets"`
}
