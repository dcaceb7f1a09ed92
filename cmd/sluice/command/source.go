package command

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/sluice-net/sluice/api"
)

// maxSources is what the daemon accepts in one request, bytes of text.
const maxSources = 12 << 20

// readSources reads the files, directories and standard input that -f names.
func (a *app) readSources(names []string) ([]api.PolicySource, error) {
	var all []api.PolicySource
	for _, name := range names {
		found, err := a.readSource(name)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	total := 0
	for _, s := range all {
		total += len(s.Text)
	}
	if total > maxSources {
		return nil, fmt.Errorf("read policies: they have %s together, at most %s are accepted at once", size(uint64(total)), size(maxSources))
	}
	return all, nil
}

func (a *app) readSource(name string) ([]api.PolicySource, error) {
	if name == "-" {
		b, err := io.ReadAll(io.LimitReader(a.In, maxSources+1))
		if err != nil {
			return nil, fmt.Errorf("read policies from standard input: %w", err)
		}
		return []api.PolicySource{{Source: "-", Text: string(b)}}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	files := []string{name}
	if info.IsDir() {
		if files, err = policyFilesOf(name); err != nil {
			return nil, err
		}
	}
	var all []api.PolicySource
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read policies: %w", err)
		}
		b, err := io.ReadAll(io.LimitReader(f, maxSources+1))
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("read policies: %w", err)
		}
		all = append(all, api.PolicySource{Source: file, Text: string(b)})
	}
	return all, nil
}

// policyFilesOf returns the files of a directory that hold policies, sorted.
func policyFilesOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("read policies from %s: there is no *.yaml, *.yml or *.json file in it", dir)
	}
	return files, nil
}
