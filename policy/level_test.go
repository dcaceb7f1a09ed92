package policy

import "testing"

func TestLevel(t *testing.T) {
	for _, name := range []string{"none", "drops", "flows", "packets"} {
		l, err := ParseLevel(name)
		if err != nil || l.String() != name || l.Effective() != l {
			t.Errorf("%s is %v, in effect %v (%v)", name, l, l.Effective(), err)
		}
	}
	if got := LevelUnset.Effective(); got != LevelFlows {
		t.Errorf("where nothing is said, %v holds", got)
	}
	for _, name := range []string{"", "Flows", "all"} {
		if l, err := ParseLevel(name); err == nil || l != LevelUnset {
			t.Errorf("%q is %v (%v)", name, l, err)
		}
	}
}
