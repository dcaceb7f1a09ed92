package policy

import (
	"cmp"
	"fmt"

	"github.com/sluice-net/sluice/identity"
)

// Enforcement is what becomes of a connection that the rules deny.
type Enforcement uint8

// The enforcements, the strictest first.
const (
	Enforce Enforcement = iota // it is dropped
	Audit                      // it passes, and is reported as what would be dropped
	Learn                      // it passes, and every connection of the container is recorded
)

var enforcementNames = [...]string{Enforce: "enforce", Audit: "audit", Learn: "learn"}

// String is the value of sluice.mode.
func (e Enforcement) String() string { return enforcementNames[e] }

// ParseEnforcement reads the value of sluice.mode.
func ParseEnforcement(s string) (Enforcement, error) {
	e, reason := parseMode(s)
	if reason != "" {
		return Enforce, fmt.Errorf("read mode: %s", reason)
	}
	return e, nil
}

// Rate is a limit of bandwidth; the zero value is none.
type Rate struct {
	BitsPerSecond uint64
	// BurstBytes may pass at once after a pause; 0 where nothing is said of it.
	BurstBytes uint64
}

// Preset is a profile: what holds in a direction of a container for which nothing more specific is said.
type Preset uint8

// The profiles.
const (
	PresetNone     Preset = iota // nothing is said
	PresetOpen                   // nothing is closed
	PresetBalanced               // own network and internet, neither host nor LAN; reached from the own network and by published ports
	PresetLocked                 // both directions are closed
)

var presetNames = [...]string{PresetNone: "", PresetOpen: "open", PresetBalanced: "balanced", PresetLocked: "locked"}

// String is the value of sluice.profile.
func (p Preset) String() string { return presetNames[p] }

// Settings are what applies to a container beside its tables.
type Settings struct {
	Enforcement Enforcement
	// KeepDenies: the enforcement is the container's own label's, which does not suspend an administrator's denies.
	KeepDenies  bool
	EgressRate  Rate // of what the container sends
	IngressRate Rate // of what it receives
	Level       Level
}

// Settings returns what the policies and the container's own labels say together: its labels count before policies; of
// several policies the strictest enforcement, the smallest rate and the highest level do. The error is that of LabelPolicy.
func (s *Set) Settings(l identity.Labels) (Settings, error) {
	var result Settings
	own, err := s.own(l)
	if err != nil {
		return result, err
	}
	rules := s.selecting(l)
	result.Enforcement = Enforce
	if r := strictest(rules); r != nil {
		result.Enforcement = *r
	}
	for _, r := range rules {
		result.Level = max(result.Level, r.rule.Level)
	}
	rates := [directions]Rate{slowest(Egress, rules), slowest(Ingress, rules)}
	if own != nil {
		if own.rule.Enforcement != nil {
			result.Enforcement, result.KeepDenies = *own.rule.Enforcement, true
		}
		result.Level = cmp.Or(own.rule.Level, result.Level)
		for d, r := range own.rule.Rates {
			if r.BitsPerSecond != 0 {
				rates[d] = r
			}
		}
	}
	result.EgressRate, result.IngressRate = rates[Egress], rates[Ingress]
	return result, nil
}

// Suspends tells whether a connection passes although a rule of the table denies it, for the container is only watched.
// That other networks need a rule of ingress holds in any mode, an administrator's deny with KeepDenies.
func (s Settings) Suspends(d Direction, t *Table, class Class, rule uint16) bool {
	if s.Enforcement == Enforce || d == Ingress && class == ClassOther {
		return false
	}
	return !s.KeepDenies || t == nil || rule == 0 || rule > t.Denies
}

// PublishDefault is who may reach a published port that no rule is about: the daemon's setting publish-default.
type PublishDefault uint8

// The defaults.
const (
	PublishAny  PublishDefault = iota // everybody
	PublishLAN                        // the LAN, this host and containers
	PublishNone                       // nobody
)

var publishDefaultNames = [...]string{PublishAny: "any", PublishLAN: "lan", PublishNone: "none"}

// String is the setting's value.
func (p PublishDefault) String() string { return publishDefaultNames[p] }

// ParsePublishDefault reads the setting's value.
func ParsePublishDefault(s string) (PublishDefault, error) {
	for p, name := range publishDefaultNames {
		if s == name {
			return PublishDefault(p), nil
		}
	}
	return PublishAny, fmt.Errorf("read publish default %s: not any, lan or none", shorten(s))
}

func strictest(rules []*compiledRule) *Enforcement {
	var best *Enforcement
	for _, r := range rules {
		if e := r.rule.Enforcement; e != nil && (best == nil || *e < *best) {
			best = e
		}
	}
	return best
}

func slowest(d Direction, rules []*compiledRule) Rate {
	var best Rate
	for _, r := range rules {
		if rate := r.rule.Rates[d]; rate.BitsPerSecond != 0 && (best.BitsPerSecond == 0 || rate.BitsPerSecond < best.BitsPerSecond) {
			best = rate
		}
	}
	return best
}
