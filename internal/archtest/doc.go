// Package archtest tests the code's shape: who may import whom, documentation, lengths, and the names of tests.
//
// The rules are tables at the head of each test file. It reads the sources with go/parser and runs nothing.
package archtest
