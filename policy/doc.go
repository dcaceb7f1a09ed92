// Package policy decides what containers may do: it reads policy documents into rules, and resolves rules and labels
// to the verdict tables that a container's programs are compiled from.
//
// It is pure: it takes values and returns values; it does no input or output but reading documents from an
// io.Reader, never logs, and does not know the kernel. The path of a policy through it:
//
//	document.go, decode.go, rules.go   YAML or JSON → []Policy, everything that cannot be enforced is refused
//	model.go, selector.go              the rules, whatever front end they came from
//	set.go                             the policies in force, indexed by whom they select
//	resolve.go, flatten.go, profile.go rules + labels → *Table for one direction of one container
//	table.go                           the table: look-up, hash, validation
//	explain.go                         the same question answered from the rules, with the reasons
//	reach.go, scene.go                 what ends may open to each other, over all containers: graph.go, diff.go, exposed.go
//	remedy.go                          the smallest change that gives another answer
//	learn.go                           the labels that allow what was seen
//
// The reference for users is docs/policy.md.
package policy
