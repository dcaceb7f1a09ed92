package datapath

import (
	"testing"

	"github.com/sluice-net/sluice/internal/testutil"
)

func TestPrivilegedInstructions(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	count := func() int {
		t.Helper()
		n, err := l.Instructions(7)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 0 {
		t.Errorf("an empty slot has %d instructions", n)
	}
	p := sample(7)
	mustReplace(t, l, p)
	open := count()
	p.Closed = true
	mustReplace(t, l, p)
	if closed := count(); closed <= 0 || closed >= open {
		t.Errorf("closed %d instructions, open %d", closed, open)
	}
	if _, err := l.Instructions(l.Slots()); err == nil {
		t.Error("a slot beyond the arrays was measured")
	}
}
