package policy

// compiledPreset is what a profile means for one direction.
type compiledPreset struct {
	ref       RuleRef
	peers     []Peer
	clause    *compiledClause // what it allows, nil: nothing
	published bool            // published ports are open to whom the daemon's setting lets in
}

// presetName is the rule that verdicts name for a profile.
func presetName(p Preset) string { return LabelPrefix + "profile=" + p.String() }

// presetPeers are whom a profile that closes a direction allows.
var presetPeers = map[Preset][directions][]Peer{
	PresetBalanced: {
		Egress:  {{Selector: &Selector{}}, {Entity: EntityInternet}},
		Ingress: {{Entity: EntityNet}},
	},
}

func compilePreset(p *Policy, preset Preset, d Direction) *compiledPreset {
	c := &compiledPreset{ref: RuleRef{Policy: p.Key(), Rule: presetName(preset)}, published: preset == PresetBalanced}
	if peers := presetPeers[preset][d]; len(peers) > 0 {
		c.peers = peers
		c.clause = &compiledClause{rank: rankAllow, atoms: []atom{{ref: c.ref, spans: []span{{to: maxKey}}}}}
		for i := range peers {
			c.clause.add(&peers[i])
		}
	}
	return c
}
