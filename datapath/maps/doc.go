// Package maps gives the shared BPF maps types: one file per header of bpf/map. Its handles read and write entries; they
// neither create nor pin maps (package datapath does, and hands them out by name) and they never close them.
//
// Handles may be used concurrently. Listing an unlocked map that programs write to gives every entry that was there all
// the time, and may give or miss those that came or went meanwhile.
//
// Start reading at Flows, the only ones that do more than translate: they expire.
package maps
