package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
)

func main() {
	root := flag.String("root", ".", "the project's `directory`")
	clang := flag.String("clang", "clang", "the `compiler`")
	flag.Parse()
	files, err := Generate(*root, *clang)
	if err == nil {
		err = write(*root, files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// Generate returns the content of every generated file by its path below root.
func Generate(root, clang string) (map[string][]byte, error) {
	headers, err := readHeaders(filepath.Join(root, "bpf", "abi"))
	if err != nil {
		return nil, err
	}
	layout, err := compileLayout(filepath.Join(root, "bpf", "abi", "layout.c"), clang)
	if err != nil {
		return nil, err
	}
	drops, err := parseDrops(headers.source["drop.h"])
	if err != nil {
		return nil, err
	}
	maps, err := parseMaps(filepath.Join(root, "bpf", "map"))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"docs/reference/drops.md": dropsDoc(drops),
		"docs/reference/maps.md":  mapsDoc(maps),
	}
	for name, render := range map[string]func() ([]byte, error){
		"internal/abi/types_gen.go": func() ([]byte, error) { return structsGo(layout, headers) },
		"internal/abi/enums_gen.go": func() ([]byte, error) { return enumsGo(layout, headers) },
		"internal/abi/drops_gen.go": func() ([]byte, error) { return dropsGo(drops) },
	} {
		if files[name], err = render(); err != nil {
			return nil, fmt.Errorf("render %s: %w", name, err)
		}
	}
	return files, nil
}

// write stores the files that differ.
func write(root string, files map[string][]byte) error {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		path := filepath.Join(root, name)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, files[name]) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
		fmt.Println("wrote", name)
	}
	return nil
}
