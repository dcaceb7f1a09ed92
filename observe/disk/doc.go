// Package disk keeps flows in files, so that questions about the past reach what the ring has forgotten, also after a
// restart.
//
// Store (store.go) is a directory of segments (segment.go), each named after the number of its first flow. A segment is
// written to its end by one daemon and never changed again; the oldest go when they are too old or too many. It is a
// header and blocks (block.go), each checksummed, compressed and readable alone, with the times and the numbers of its
// flows in front, so that a question reads only the blocks that it is about.
//
// The writer (writer.go) is a reader of the ring like any other: a slow or full disk holds up nobody, and what is missing
// then is counted. Wall clocks may jump: order is that of the flows' numbers, and age that of the kernel's clock.
package disk
