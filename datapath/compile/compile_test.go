package compile

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sluice-net/sluice/internal/testutil"
)

// TestPrivilegedAnswers: the loaded function answers every question as the table does, whatever its form.
func TestPrivilegedAnswers(t *testing.T) {
	testutil.Privileged(t)
	shapes := []shape{{0, 0, 0}, {1, 1, 1}, {3, 2, 4}, {20, 10, 8}, {300, 60, 30}, {2000, 500, 100}}
	for _, limit := range []int{1 << 15, -1} {
		for _, s := range shapes {
			t.Run(fmt.Sprintf("limit=%d/%+v", limit, s), func(t *testing.T) {
				for seed := range uint64(8) {
					r := rand.New(rand.NewPCG(seed, uint64(s.identities)))
					table := randomTable(r, s)
					f, data, err := Compile(table, limit)
					if err != nil {
						t.Fatal(err)
					}
					p := load(t, f, data)
					for range 400 {
						q := randomQuestion(r, table)
						if got, want := ask(t, p, q), evaluate(table, q); got != want {
							t.Fatalf("seed %d: %+v: answer %#x, want %#x", seed, q, got, want)
						}
					}
				}
			})
		}
	}
}
