// Package flows asks a Hubble server for flows, or reads them from a file, and prints them. Its flags and their values are
// those of "hubble observe"; containers, compose services and projects are Sluice's own. It knows Hubble's protobufs and
// nothing of the daemon.
//
// Start reading at Filter (what the flags select), Options.Request, Source (where flows come from) and Printer.
package flows
