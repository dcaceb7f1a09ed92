// Package identity turns the labels of containers into identities: small numbers that stand for a set of labels, so
// that a packet can be judged by comparing numbers.
//
// It owns the label grammar (canonical form, which of Docker's labels count and under which names), the reserved
// numbers, and the Allocator that gives a set of labels its number and keeps it while somebody uses it. It never does
// input or output, never logs, and knows nothing of rules: package policy matches selectors against Labels.
//
// Start reading at FromContainer (normalise.go), then Allocator (allocator.go).
package identity
