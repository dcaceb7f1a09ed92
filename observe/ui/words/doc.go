// Package words understands what is typed into the filter box of the page: words such as verdict:dropped, to:db or
// port:5432,80, all of which must fit, each turned round by a ! before it. The keys are those of hubble and of sluice
// observe, and Command writes the command that shows the same flows.
//
// Start at Parse (words.go); match.go says what each key means, command.go how it is called on a command line.
package words
