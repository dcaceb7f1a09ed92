package policy

import (
	"fmt"
	"slices"
)

// Level says what is told of a container's packets; each level tells what those before it do. The zero value is that nothing
// is said of it: LevelFlows.
type Level uint8

// The levels.
const (
	LevelUnset   Level = iota
	LevelNone          // nothing; packets are counted all the same
	LevelDrops         // what is dropped, and what audits would deny
	LevelFlows         // connections: opened, answered, every few seconds, closed
	LevelPackets       // every packet
)

var levelNames = [...]string{LevelUnset: "", LevelNone: "none", LevelDrops: "drops", LevelFlows: "flows", LevelPackets: "packets"}

// String is the value of sluice.observe; empty for LevelUnset.
func (l Level) String() string { return levelNames[l] }

// Effective is what holds: LevelFlows where nothing is said.
func (l Level) Effective() Level {
	if l == LevelUnset {
		return LevelFlows
	}
	return l
}

// ParseLevel reads the value of sluice.observe.
func ParseLevel(s string) (Level, error) {
	l, reason := parseLevel(s)
	if reason != "" {
		return LevelUnset, fmt.Errorf("read level: %s", reason)
	}
	return l, nil
}

func parseLevel(s string) (Level, string) {
	if i := slices.Index(levelNames[:], s); i > 0 {
		return Level(i), ""
	}
	return LevelUnset, fmt.Sprintf("%s is not a level%s", shorten(s), suggest(s, levelNames[1:]))
}
