package api

import "time"

// ApplyRequest is the body of POST /v1/policies and of POST /v1/policies/validate (which does not wait).
type ApplyRequest struct {
	Sources []PolicySource `json:"sources"`
	Waiting
}

// DeleteRequest is the body of POST /v1/policies/delete. All deletes every one that was applied; those of files stay.
type DeleteRequest struct {
	Names []string `json:"names,omitempty"`
	All   bool     `json:"all,omitempty"`
	Waiting
}

// LabelRequest is the body of POST /v1/endpoints/label. Ref is a name, id or prefix of an endpoint or container; a
// compose service means all its containers.
type LabelRequest struct {
	Ref string `json:"ref"`
	LabelChange
	Waiting
}

// RegenerateRequest is the body of POST /v1/endpoints/regenerate. All means every endpoint.
type RegenerateRequest struct {
	Refs []string `json:"refs,omitempty"`
	All  bool     `json:"all,omitempty"`
}

// DefaultWait is how long a wait without a timeout lasts.
const DefaultWait = 30 * time.Second

// MaxWait is the longest wait that the daemon accepts.
const MaxWait = time.Hour

// Waiting says whether the answer comes only when every packet is judged by the change, and how long to wait.
type Waiting struct {
	Wait    bool          `json:"wait,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // ns, 0: DefaultWait
}

// Line is one line of a stream (application/jsonl): an item, or an error that ends it, or its proper end. A stream
// without either of the last two was cut. Empty lines are heartbeats.
type Line[T any] struct {
	Item  *T     `json:"item,omitempty"`
	Error *Error `json:"error,omitempty"`
	End   bool   `json:"end,omitempty"`
}
