// Package peer tells which process is at the other end of a unix socket, and whether it still runs: an answer that its
// asker never got belongs to nobody. Start at Context and From.
package peer
