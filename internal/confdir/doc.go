// Package confdir follows a directory of configuration files: it reads those of some extensions, and reads them again
// whenever one of them comes, changes or goes.
//
// A change counts when it has held still for a moment, so that an editor's rename-and-replace, a swapped symbolic link
// or a file that is written in several steps is one change. The kernel's notifications (inotify) make it fast; a look
// every few seconds finds what they miss: a directory that did not exist, a link's target, a network file system.
//
// The package knows nothing of what the files mean. Start with Dir.
package confdir
