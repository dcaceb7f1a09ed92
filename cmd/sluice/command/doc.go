// Package command is the tree of sluice's commands, one file a noun. Each command asks the daemon by package api and
// prints the answer; none decides anything.
//
// Start with root.go: how a command line becomes an exit code. How answers are printed stands in print.go, how the
// shell completes names in complete.go.
package command
