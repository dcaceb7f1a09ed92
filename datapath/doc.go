// Package datapath is the only loader of BPF. It specialises the compiled objects for each container, loads, verifies and
// swaps them, and adopts what a former daemon left running.
//
// It owns the shared maps (pinned in PINDIR/maps), the programs behind every slot of the arrays egress_slots and
// ingress_slots, and the hooks that lead to them. The arrays are the truth: they are pinned, they hold the programs, and
// every program carries the fingerprint of what it was made from in its constants. So one write of a slot replaces a
// program together with its policy and everything that a restarted daemon needs to know of it; there is no second place
// that could disagree after a crash.
//
// It never decides what a policy says (package policy), nor which container has which slot (package endpoint).
//
// Start reading at Loader.Replace; Program is what it takes, datapath/compile what makes policies instructions.
package datapath
