// Package filter makes predicates over flows of Hubble's filters.
//
// Compile (compile.go) takes the lists that GetFlows takes: allowed are flows that one filter of the whitelist matches, and
// none of the blacklist; within a filter all fields have to match, and of a field one value. Everything that can be wrong
// is refused when it is compiled. fields.go is the list of fields and whom they ask; the other files are the kinds of
// values: names with wildcards (pattern.go), selectors of labels (selector.go), addresses, ports, expressions (cel.go).
//
// Predicates look at flows, not at messages, so that filtering a whole ring builds none; only expressions need a message.
// What a predicate asks of a flow are the functions that messages are made by (package convert), so that both agree.
package filter
