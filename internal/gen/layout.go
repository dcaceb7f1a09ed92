package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/cilium/ebpf/btf"
)

// layout is what the compiler says of the shared types, in the order of layout.c.
type layout struct {
	structs []*btf.Struct
	enums   []*btf.Enum
}

// compileLayout compiles the file with the anchors of all shared types and reads its BTF.
func compileLayout(path, clang string) (*layout, error) {
	dir, err := os.MkdirTemp("", "layout")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	object := filepath.Join(dir, "layout.o")
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	cmd := exec.Command(clang, "-O2", "-g", "-target", "bpf", "-I/usr/include/"+arch+"-linux-gnu", "-c", path, "-o", object)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile %s: %w\n%s", path, err, out)
	}
	spec, err := btf.LoadSpec(object)
	if err != nil {
		return nil, fmt.Errorf("read BTF of %s: %w", path, err)
	}
	var l layout
	for t, err := range spec.All() {
		if err != nil {
			return nil, fmt.Errorf("read BTF of %s: %w", path, err)
		}
		v, ok := t.(*btf.Var)
		if !ok {
			continue
		}
		switch t := btf.UnderlyingType(v.Type).(type) {
		case *btf.Struct:
			l.structs = append(l.structs, t)
		case *btf.Enum:
			l.enums = append(l.enums, t)
		}
	}
	if len(l.structs) == 0 || len(l.enums) == 0 {
		return nil, fmt.Errorf("read BTF of %s: no types found", path)
	}
	return &l, nil
}
