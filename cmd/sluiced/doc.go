// Command sluiced is the daemon: it serves Docker's network and IPAM plugin protocols and the API of the command line
// tool, and keeps the kernel as containers, labels and policies say.
//
// config.go reads flags and the configuration file, wire.go constructs everything in order, main.go runs it.
package main
