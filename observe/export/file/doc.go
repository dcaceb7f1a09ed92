// Package file writes flows into a file, one of Hubble's export events in JSON a line, and rotates it.
//
// A line is written whole or not at all: what a full disk cuts off is taken back. A file that somebody else moved or
// removed is made anew. Start with Sink.
package file
