package ui

import (
	"net/http"
	"slices"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe/ui/words"
)

// maxEnds bounds the nodes of a question.
const maxEnds = 512

// filterAnswer is what a filter means to command lines.
type filterAnswer struct {
	Sluice  string   `json:"sluice"`
	Hubble  string   `json:"hubble"`
	Left    []string `json:"left,omitempty"` // words that no command line says
	Keys    []string `json:"keys"`
	Problem string   `json:"problem,omitempty"` // why the filter cannot be read; then there are no commands
}

// filter answers whether a filter can be read, and which commands show the same.
func (s *Server) filter(w http.ResponseWriter, r *http.Request) {
	a := filterAnswer{Keys: words.Keys()}
	f, err := words.Parse(r.URL.Query().Get("q"))
	if err != nil {
		a.Problem = err.Error()
		write(w, a)
		return
	}
	a.Sluice, a.Left = f.Command("sluice")
	a.Hubble, _ = f.Command("hubble")
	write(w, a)
}

// history answers with what edges carried in the last minutes: from some nodes to others, or with both, whatever goes
// out and in.
func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, to, of := q["from"], q["to"], q["of"]
	if len(from)+len(to)+len(of) > maxEnds {
		refuse(w, api.Errorf(api.CodeInvalid, "read history: name at most %d nodes", maxEnds))
		return
	}
	m, leave := s.tracker.look(r.Context())
	defer leave()
	write(w, m.History(s.o.Now(), func(a, b string) bool {
		switch {
		case len(of) > 0:
			return slices.Contains(of, a) || slices.Contains(of, b)
		case len(from) > 0 || len(to) > 0:
			return slices.Contains(from, a) && slices.Contains(to, b)
		}
		return true
	}))
}
