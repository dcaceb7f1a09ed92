// Package policy decides what containers may do: it reads policy documents into rules, and resolves rules and labels
// to the verdict tables that a container's programs are compiled from.
//
// It is pure: it takes values and returns values; it does no input or output but reading documents from an
// io.Reader, never logs, and does not know the kernel. The path of a policy through it:
//
//	grammar*.go, rate.go               `peer:port` and its kin: what labels and the short form are written in
//	labels.go, own.go                  a container's labels → the policy that they are
//	document.go, decode.go, rules.go   YAML or JSON → []Policy, everything that cannot be enforced is refused
//	short.go                           the short form of documents
//	model.go, selector.go, settings.go the rules, whatever front end they came from
//	set.go                             the policies in force, indexed by whom they select
//	resolve.go, preset.go, publish.go  which rules judge a container, in what order
//	flatten.go, profile.go, lan.go     rules + labels → *Table for one direction of one container, or its published ports
//	table.go                           the table: look-up, hash, validation
//	explain*.go, unresolved.go         the same question answered from the rules, with the reasons
//	format*.go                         rules → labels, the short form, CiliumNetworkPolicy
//	reach.go, scene.go                 what ends may open to each other, over all containers: graph.go, diff.go, exposed.go
//	remedy.go                          the smallest change that gives another answer
//	learn.go                           the labels that allow what was seen
//
// The reference for users is docs/policy.md.
package policy
