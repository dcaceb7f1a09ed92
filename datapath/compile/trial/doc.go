// Package trial loads a compiled policy function alone, in the smallest program that can call it, to ask it questions and to
// measure what an answer costs. It is for tests and measurements; containers' programs are loaded by package datapath. It
// touches the kernel, and knows nothing of how functions are compiled. Start reading at Load.
package trial
