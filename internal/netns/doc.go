// Package netns works in network namespaces: it runs functions in one, makes temporary ones, moves devices, and
// compares what a namespace holds before and after. It serves the privileged tests above all, which run in namespaces
// of their own so that they neither see nor change the machine.
//
// It changes no namespace but those that it made or was told to, and imports nothing of the project.
//
// Start reading at Isolated, which a package of privileged tests calls from TestMain.
package netns
