package archtest

import (
	"bufio"
	"go/ast"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Limits, in lines. Functions of tables and tests may be longer than code, but not without end.
const (
	maxGoFile   = 600
	maxFunction = 100
	maxCFile    = 300
)

// vague are names that say nothing of what is in a package.
var vague = map[string]bool{"util": true, "utils": true, "common": true, "misc": true, "helper": true, "helpers": true,
	"manager": true, "types": true}

// TestPackagesAreDocumented: the package comment is in doc.go, or in the package's only file.
func TestPackagesAreDocumented(t *testing.T) {
	files, documented := map[string]int{}, map[string]string{}
	for _, s := range sources(t) {
		if s.test() && files[s.pkg] > 0 {
			continue
		}
		files[s.pkg]++
		if s.file.Doc != nil && documented[s.pkg] != "doc.go" {
			documented[s.pkg] = filepath.Base(s.path)
		}
		if vague[s.file.Name.Name] {
			t.Errorf("%s: package %s: name it after what it owns", s.path, s.file.Name.Name)
		}
	}
	for pkg, n := range files {
		switch {
		case documented[pkg] == "":
			t.Errorf("%s has no package comment", pkg)
		case n > 1 && documented[pkg] != "doc.go":
			t.Errorf("%s has its package comment in %s, not in doc.go", pkg, documented[pkg])
		}
	}
}

func TestExportsAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() || s.generated() {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && exportedReceiver(d) && d.Doc == nil {
					t.Errorf("%s:%d: %s has no comment", s.path, s.line(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				checkSpecs(t, s, d)
			}
		}
	}
}

func checkSpecs(t *testing.T, s source, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		typed, ok := spec.(*ast.TypeSpec)
		if ok && typed.Name.IsExported() && d.Doc == nil && typed.Doc == nil {
			t.Errorf("%s:%d: %s has no comment", s.path, s.line(typed.Pos()), typed.Name.Name)
		}
	}
}

// exportedReceiver says whether a method is of an exported type; a function always counts.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	kind := d.Recv.List[0].Type
	if star, ok := kind.(*ast.StarExpr); ok {
		kind = star.X
	}
	name, ok := kind.(*ast.Ident)
	return ok && name.IsExported()
}

func TestLengths(t *testing.T) {
	for _, s := range sources(t) {
		if s.generated() {
			continue
		}
		if n := s.line(s.file.FileEnd); n > maxGoFile {
			t.Errorf("%s has %d lines, the limit is %d", s.path, n, maxGoFile)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > maxFunction {
				t.Errorf("%s:%d: %s has %d lines, the limit is %d", s.path, s.line(f.Pos()), f.Name.Name, n, maxFunction)
			}
		}
	}
}

func TestCLengths(t *testing.T) {
	for _, pattern := range []string{"*.c", "*/*.h"} {
		files, err := filepath.Glob(filepath.Join(root, "bpf", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if n := countLines(t, path); n > maxCFile {
				t.Errorf("%s has %d lines, the limit is %d", path, n, maxCFile)
			}
		}
	}
}

// TestErrorsSayWhat holds errors to "verb object: cause".
func TestErrorsSayWhat(t *testing.T) {
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if ok && !s.test() && strings.HasPrefix(lit.Value, `"failed to `) {
				t.Errorf(`%s:%d: write "verb object: cause", not "failed to"`, s.path, s.line(lit.Pos()))
			}
			return true
		})
	}
}

func countLines(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for scan := bufio.NewScanner(f); scan.Scan(); {
		lines++
	}
	return lines
}
