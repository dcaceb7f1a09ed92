// Command probe is the network tool of the tests and the demonstration: servers that tell what they see, and clients
// that say in one word how it went. It is static, so that an image of busybox and probe is all a container needs.
//
// A client prints "ok …" and ends with 0, or prints refused, unreachable, timeout, reset or "error: …" and ends with 1.
// Start reading at the table of commands in main.go.
package main
