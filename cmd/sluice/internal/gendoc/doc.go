// Command gendoc writes the documentation of the command line from the commands themselves: the reference page
// docs/reference/cli.md, or man pages.
//
//	go run ./cmd/sluice/internal/gendoc -markdown docs/reference/cli.md
//	go run ./cmd/sluice/internal/gendoc -man bin/man
package main
