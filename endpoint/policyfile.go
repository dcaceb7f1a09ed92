package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/confdir"
	"github.com/sluice-net/sluice/policy"
)

// PolicyDir is the directory of policy files, as the use-cases need it.
type PolicyDir interface {
	Path() string
	// Read returns the files, sorted by name; the error wraps fs.ErrNotExist where there is no directory.
	Read() ([]confdir.File, error)
	// Follow calls changed with what Read returns whenever that may have changed, until the context ends, and again
	// after a while if it was not taken.
	Follow(ctx context.Context, changed func([]confdir.File, error) (taken bool))
}

var _ PolicyDir = (*confdir.Dir)(nil)

// policyFiles is what is known of the policy directory. The lock "policies" guards it; mu guards states besides.
type policyFiles struct {
	read    bool   // before, nothing is known
	dir     string // empty: no directory
	found   []foundFile
	failure error // of the directory itself

	mu     sync.RWMutex
	states []api.PolicyFile
}

// foundFile is a file of the policy directory, read.
type foundFile struct {
	path     string
	blank    bool
	parsed   []parsed
	problems []api.Problem // why it is refused
}

// filePlan is what the files make of the policies in force.
type filePlan struct {
	puts    []parsed
	removed []string // keys
	states  []api.PolicyFile
}

// LoadPolicyFiles reads the policy directory and puts its policies in force: those of a file that is refused stay as
// they were, those of a file that is gone go. Without a directory, what an earlier one brought goes.
func (m *Manager) LoadPolicyFiles(ctx context.Context) error {
	var files []confdir.File
	var err error
	if m.PolicyDir != nil {
		files, err = m.PolicyDir.Read()
	}
	return m.takePolicyFiles(ctx, files, err)
}

// FollowPolicyFiles takes changes of the policy directory until the context ends.
func (m *Manager) FollowPolicyFiles(ctx context.Context) {
	if m.PolicyDir == nil {
		return
	}
	m.PolicyDir.Follow(ctx, func(files []confdir.File, err error) bool {
		if err := m.takePolicyFiles(ctx, files, err); err != nil {
			m.Log.WithError(err).Error("take policy files: they stay as they were, and are tried again")
			return false
		}
		return true
	})
}

// takePolicyFiles makes what was read of the directory the policies in force.
func (m *Manager) takePolicyFiles(ctx context.Context, files []confdir.File, failure error) error {
	found := make([]foundFile, len(files))
	dir := ""
	if m.PolicyDir != nil {
		dir = m.PolicyDir.Path()
	}
	for i, f := range files {
		found[i] = readPolicyFile(filepath.Join(dir, f.Name), f)
	}
	defer m.calls.lock("policies")()
	f := &m.policyFiles
	f.read, f.dir, f.found, f.failure = true, dir, found, failure
	m.mu.RLock()
	documents := m.documents
	m.mu.RUnlock()
	plan := f.plan(documents)
	if len(plan.puts)+len(plan.removed) > 0 {
		m.stamp(plan.puts)
		if _, err := m.commit(ctx, plan.puts, plan.removed); err != nil {
			return err
		}
		m.Log.WithField("changed", len(plan.puts)).WithField("removed", len(plan.removed)).Info("policies of files are in force")
	}
	m.showFiles(plan.states)
	return nil
}

// stamp dates documents that are about to come into force.
func (m *Manager) stamp(all []parsed) {
	generation := m.currentGeneration() + 1
	for _, p := range all {
		p.document.Applied, p.document.Generation = m.Now().UTC(), generation
	}
}

// readPolicyFile parses a file.
func readPolicyFile(path string, f confdir.File) foundFile {
	file := foundFile{path: path}
	if f.Err != nil {
		file.problems = []api.Problem{{Source: path, Message: f.Err.Error()}}
		return file
	}
	file.blank = strings.TrimSpace(string(f.Text)) == ""
	file.parsed, file.problems = parseSource(api.PolicySource{Source: path, Text: string(f.Text)}, policy.OriginDirectory)
	if len(file.problems) > 0 {
		return file
	}
	if _, err := policy.NewSet(policiesOf(file.parsed)...); err != nil {
		file.problems = []api.Problem{{Source: path, Message: err.Error()}}
	}
	return file
}

// plan works out what is to change, given the documents in force. A file is taken whole or not at all; what is in force
// of one that is not taken stays, and keeps its names.
func (f *policyFiles) plan(documents map[string]*Document) (p filePlan) {
	switch {
	case !f.read:
		return p
	case f.failure != nil:
		return f.keep(documents)
	}
	held := heldBy(documents)
	refused := map[string][]api.Problem{} // by path
	for _, file := range f.found {
		switch {
		case len(file.problems) > 0:
			refused[file.path] = file.problems
		case file.blank && len(held[file.path]) > 0:
			refused[file.path] = []api.Problem{{Source: file.path,
				Message: "the file is empty: remove it, or write a comment into it, if its policies are to go"}}
		}
	}
	for before := -1; before != len(refused); { // a file that is refused for its names keeps those that it had
		before = len(refused)
		f.refuseTaken(documents, refused)
	}

	put := map[string]bool{}
	for _, file := range f.found {
		if _, no := refused[file.path]; no {
			continue
		}
		for _, one := range file.parsed {
			key := one.document.Key
			put[key] = true
			if !one.document.same(documents[key]) {
				again := *one.document // records are not changed once they are in force
				p.puts = append(p.puts, parsed{one.policy, &again})
			}
		}
	}
	for path, keys := range held {
		if _, no := refused[path]; no {
			continue
		}
		for _, key := range keys {
			if !put[key] {
				p.removed = append(p.removed, key)
			}
		}
	}
	slices.Sort(p.removed)
	for _, file := range f.found {
		state := api.PolicyFile{Path: file.path, State: api.PolicyFileActive, Problems: refused[file.path]}
		if state.Problems != nil {
			state.State, state.Policies = api.PolicyFileBroken, held[file.path]
		} else {
			for _, one := range file.parsed {
				state.Policies = append(state.Policies, one.document.Key)
			}
		}
		p.states = append(p.states, state)
	}
	return p
}

// keep leaves everything as it is, for the directory cannot be read. One that is not there and never brought anything
// is nothing to tell.
func (f *policyFiles) keep(documents map[string]*Document) (p filePlan) {
	state := api.PolicyFile{Path: f.dir, State: api.PolicyFileBroken}
	for _, keys := range heldBy(documents) {
		state.Policies = append(state.Policies, keys...)
	}
	slices.Sort(state.Policies)
	reason := f.failure.Error()
	if errors.Is(f.failure, fs.ErrNotExist) {
		if len(state.Policies) == 0 {
			return p
		}
		reason = "there is no such directory; make it, empty if the policies of its files are to go"
	}
	state.Problems = []api.Problem{{Source: f.dir, Message: reason}}
	return filePlan{states: []api.PolicyFile{state}}
}

// heldBy lists the keys of the documents that files brought, sorted, by path.
func heldBy(documents map[string]*Document) map[string][]string {
	held := map[string][]string{}
	for key, d := range documents {
		if d.Origin == policy.OriginDirectory {
			held[d.Source.File] = append(held[d.Source.File], key)
		}
	}
	for _, keys := range held {
		slices.Sort(keys)
	}
	return held
}

// refuseTaken refuses the files with names that others have: policies that were applied, refused files, and of several
// files with one name all but the one that has it already, or else the first.
func (f *policyFiles) refuseTaken(documents map[string]*Document, refused map[string][]api.Problem) {
	good := map[string]bool{}
	for _, file := range f.found {
		_, no := refused[file.path]
		good[file.path] = !no
	}
	owner := map[string]string{} // key → path
	claim := func(incumbents bool) {
		for _, file := range f.found {
			for _, one := range file.parsed {
				key := one.document.Key
				d := documents[key]
				incumbent := d != nil && d.Origin == policy.OriginDirectory && d.Source.File == file.path
				if _, taken := owner[key]; good[file.path] && !taken && incumbent == incumbents {
					owner[key] = file.path
				}
			}
		}
	}
	claim(true)
	claim(false)
	for _, file := range f.found {
		if !good[file.path] {
			continue
		}
		for _, one := range file.parsed {
			key, message := one.document.Key, ""
			switch d := documents[key]; {
			case d != nil && d.Origin != policy.OriginDirectory:
				message = fmt.Sprintf("policy %s was applied already, from %s: rename it, or run sluice policy delete %s", key, d.Source, key)
			case d != nil && d.Source.File != file.path && len(refused[d.Source.File]) > 0:
				message = fmt.Sprintf("policy %s stands in %s, which is broken and keeps it: mend that file, or rename the policy", key, d.Source)
			case owner[key] != file.path:
				message = fmt.Sprintf("policy %s stands in %s already: rename one of them", key, owner[key])
			default:
				continue
			}
			refused[file.path] = append(refused[file.path], api.Problem{Source: file.path, Line: one.policy.Source.Line, Message: message})
		}
	}
}

// showFiles makes states those that are shown, and logs what is new.
func (m *Manager) showFiles(states []api.PolicyFile) {
	f := &m.policyFiles
	f.mu.Lock()
	before := f.states
	f.states = states
	f.mu.Unlock()
	known := map[string]api.PolicyFile{}
	for _, s := range before {
		known[s.Path] = s
	}
	for _, s := range states {
		old, log := known[s.Path], m.Log.WithField("file", s.Path)
		switch {
		case s.State == api.PolicyFileBroken && !reflect.DeepEqual(old.Problems, s.Problems):
			for _, p := range s.Problems {
				log.WithField("in_force", strings.Join(s.Policies, ", ")).Warnf("policy file is broken: %s", p)
			}
		case s.State == api.PolicyFileActive && old.State == api.PolicyFileBroken:
			log.Info("policy file is in force again")
		}
	}
}

// refusals are why files are broken, by path.
func (f *policyFiles) refusals() map[string][]api.Problem {
	f.mu.RLock()
	defer f.mu.RUnlock()
	all := map[string][]api.Problem{}
	for _, s := range f.states {
		if len(s.Problems) > 0 {
			all[s.Path] = s.Problems
		}
	}
	return all
}

// PolicyFiles lists the files of the policy directory. A directory that cannot be read is listed itself.
func (m *Manager) PolicyFiles(context.Context) ([]api.PolicyFile, error) {
	m.policyFiles.mu.RLock()
	defer m.policyFiles.mu.RUnlock()
	return append([]api.PolicyFile{}, m.policyFiles.states...), nil
}
