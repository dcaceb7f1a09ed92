package archtest

import (
	"go/ast"
	"strings"
	"testing"
)

const (
	prefix   = "TestPrivileged"
	testutil = "internal/testutil"
)

// TestPrivilegedNames: a test is called TestPrivileged… if and only if it calls testutil.Privileged, by which the tiers
// choose; and no test skips but through testutil, which notes it.
func TestPrivilegedNames(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test() || s.pkg == testutil || s.pkg == "internal/archtest" {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			calls := callsIn(f)
			name := f.Name.Name
			isTest := strings.HasPrefix(name, "Test") && f.Recv == nil && name != "TestMain"
			if isTest && calls["testutil.Privileged"] && !strings.HasPrefix(name, prefix) {
				t.Errorf("%s:%d: %s needs privileges: call it %s…", s.path, s.line(f.Pos()), name, prefix)
			}
			for _, skip := range []string{"Skip", "Skipf", "SkipNow"} {
				for _, receiver := range []string{"t", "tb", "b", "f"} {
					if calls[receiver+"."+skip] {
						t.Errorf("%s:%d: %s skips: use testutil.NotSupported, Privileged or Short", s.path, s.line(f.Pos()), name)
					}
				}
			}
		}
	}
}

// callsIn lists what f calls as "x.Name".
func callsIn(f *ast.FuncDecl) map[string]bool {
	calls := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok {
				calls[x.Name+"."+sel.Sel.Name] = true
			}
		}
		return true
	})
	return calls
}
