package archtest

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The documents refer to the code in three ways, all of them checked here: links ([text](path#heading)), paths in code
// spans (`datapath/loader.go`, `bpf/step`), and declarations (`endpoint/attach.go: Manager.Join, macOf`).
var (
	link        = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	span        = regexp.MustCompile("`([^`\n]+)`")
	declaration = regexp.MustCompile(`^([a-zA-Z0-9_./-]+\.(?:go|h|c)): ([A-Za-z0-9_.]+(?:, [A-Za-z0-9_.]+)*)$`)
	sourcePath  = regexp.MustCompile(`^([a-zA-Z0-9_.-]+/)+[a-zA-Z0-9_-]+\.(go|h|c|md|sh|yaml|txtar|service)$`)
	heading     = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// documents returns the project's Markdown files, by path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		found[rel] = string(text)
		return err
	})
	if err != nil || len(found) < 5 {
		t.Fatalf("found %d documents: %v", len(found), err)
	}
	return found
}

func TestDocumentsLink(t *testing.T) {
	all := documents(t)
	for name, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") || path == "performance.svg" { // make bench draws it
				continue
			}
			target := name
			if path != "" {
				target = filepath.Join(filepath.Dir(name), path)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			} else if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s links to %s: there is no such heading", name, m[1])
			}
		}
	}
}

// anchors returns the names by which the headings of a document are linked.
func anchors(text string) map[string]bool {
	names := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		names[strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return names
}

func TestDocumentsNameTheCode(t *testing.T) {
	for name, text := range documents(t) {
		for _, m := range span.FindAllStringSubmatch(text, -1) {
			switch d := declaration.FindStringSubmatch(m[1]); {
			case d != nil:
				checkDeclarations(t, name, d[1], strings.Split(d[2], ", "))
			case sourcePath.MatchString(m[1]):
				if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
					t.Errorf("%s names %s: %v", name, m[1], err)
				}
			}
		}
	}
}

func checkDeclarations(t *testing.T, document, path string, names []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Errorf("%s names %s: %v", document, path, err)
		return
	}
	for _, name := range names {
		word := regexp.QuoteMeta(name[strings.LastIndex(name, ".")+1:])
		form := `(?m)^(func (\([^)]*\) )?|type |var |const |\t)` + word + `\b`
		if !strings.HasSuffix(path, ".go") {
			form = `\b` + word + `\b`
		}
		if !regexp.MustCompile(form).Match(text) {
			t.Errorf("%s names %s of %s, which does not declare it", document, name, path)
		}
	}
}

// TestEveryDocumentIsIndexed: what is in docs is named by its index.
func TestEveryDocumentIsIndexed(t *testing.T) {
	all := documents(t)
	index := all[filepath.Join("docs", "README.md")]
	for name := range all {
		rel, err := filepath.Rel("docs", name)
		if err != nil || strings.HasPrefix(rel, "..") || rel == "README.md" {
			continue
		}
		if !strings.Contains(index, "]("+filepath.ToSlash(rel)+")") {
			t.Errorf("docs/README.md does not link to %s", rel)
		}
	}
}

// npmPackages are what the page is built from and with.
func npmPackages(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "ui", "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var listed struct{ Dependencies, DevDependencies map[string]string }
	if err := json.Unmarshal(text, &listed); err != nil {
		t.Fatal(err)
	}
	return append(slices.Collect(maps.Keys(listed.Dependencies)), slices.Collect(maps.Keys(listed.DevDependencies))...)
}

// TestDependenciesAreExplained: docs/dependencies.md has a line for each direct dependency, and no other.
func TestDependenciesAreExplained(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
		direct[m[1]] = true
	}
	for _, p := range npmPackages(t) {
		direct[p] = true
	}
	text := documents(t)[filepath.Join("docs", "dependencies.md")]
	explained := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\S+)` \\| .").FindAllStringSubmatch(text, -1) {
		explained[m[1]] = true
		if !direct[m[1]] {
			t.Errorf("docs/dependencies.md explains %s, which neither go.mod nor ui/package.json requires", m[1])
		}
	}
	for m := range direct {
		if !explained[m] {
			t.Errorf("docs/dependencies.md does not explain %s", m)
		}
	}
}
