// Package servertest is a daemon for tests: the real handlers behind a real unix socket, over backends that hold a
// small, fixed installation in memory. Tests change its fields before they ask.
package servertest
