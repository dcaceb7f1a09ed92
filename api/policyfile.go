package api

// PolicyFile is a file of the daemon's policy directory, or the directory itself where that cannot be read.
type PolicyFile struct {
	Path  string `json:"path"`
	State string `json:"state"` // active, or broken: it was refused, and what it brought before is in force
	// Policies are the names of those in force that the file brought.
	Policies []string  `json:"policies,omitempty"`
	Problems []Problem `json:"problems,omitempty"` // why it is broken
}

// The states of a policy file.
const (
	PolicyFileActive = "active"
	PolicyFileBroken = "broken"
)
