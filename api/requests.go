package api

import "time"

// ApplyRequest is the body of POST /v1/policies, and without Wait and Timeout of POST /v1/policies/validate.
type ApplyRequest struct {
	Sources []PolicySource `json:"sources"`
	Waiting
}

// DeleteRequest is the body of POST /v1/policies/delete. All deletes what was applied, not what files brought.
type DeleteRequest struct {
	Names []string `json:"names,omitempty"`
	All   bool     `json:"all,omitempty"`
	Waiting
}

// LabelRequest is the body of POST /v1/endpoints/REF/labels.
type LabelRequest struct {
	LabelChange
	Waiting
}

// Waiting says whether the answer comes only when every packet is judged by the change, and how long to wait.
type Waiting struct {
	Wait    bool          `json:"wait,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // ns, 0: 30 s
}
