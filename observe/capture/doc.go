// Package capture gives the packets that BPF programs capture to whoever asks for them. A container's programs capture only
// while somebody does, as many bytes as the most demanding of them wants. Who is too slow loses packets and is told how many;
// nobody waits for anybody.
//
// Start reading at Hub.Capture.
package capture
