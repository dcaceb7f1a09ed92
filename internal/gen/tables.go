package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// drop is one line of DROP_REASONS.
type drop struct {
	number               int
	constant, name, help string
}

// bpfMap is one header of bpf/map.
type bpfMap struct {
	name, kind, entries, flags string
	key, value, writer, reader string
}

var (
	dropLine   = regexp.MustCompile(`X\((\d+), (\w+), "([^"]*)", "([^"]*)"\)`)
	mapField   = regexp.MustCompile(`__uint\((\w+), (.*)\);`)
	mapName    = regexp.MustCompile(`\} (\w+) SEC\("\.maps"\)`)
	mapComment = regexp.MustCompile(`(?s)/\* (Key: .*?|Records .*?)\s*\*/\nstruct \{`)
	sentence   = regexp.MustCompile(`(Key|Value|Writer and reader|Writer|Reader): `)
)

// parseDrops reads the list of drop reasons and refuses numbers or names that occur twice.
func parseDrops(source string) ([]drop, error) {
	var drops []drop
	seen := map[string]bool{}
	for _, m := range dropLine.FindAllStringSubmatch(source, -1) {
		number, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, err
		}
		for _, unique := range []string{m[1], m[2], m[3]} {
			if seen[unique] {
				return nil, fmt.Errorf("parse drop.h: %q occurs twice", unique)
			}
			seen[unique] = true
		}
		drops = append(drops, drop{number, m[2], m[3], m[4]})
	}
	if len(drops) == 0 {
		return nil, fmt.Errorf("parse drop.h: no reasons found")
	}
	return drops, nil
}

// parseMaps reads every header of the maps' directory.
func parseMaps(dir string) ([]bpfMap, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.h"))
	if err != nil {
		return nil, err
	}
	var maps []bpfMap
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m, err := parseMap(string(b))
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", filepath.Base(path), err)
		}
		maps = append(maps, m)
	}
	return maps, nil
}

func parseMap(source string) (bpfMap, error) {
	name := mapName.FindStringSubmatch(source)
	text := mapComment.FindStringSubmatch(source)
	if name == nil || text == nil {
		return bpfMap{}, fmt.Errorf("no map, or no comment that begins with its key")
	}
	m := bpfMap{name: name[1]}
	for _, f := range mapField.FindAllStringSubmatch(source, -1) {
		switch f[1] {
		case "type":
			m.kind = strings.TrimPrefix(f[2], "BPF_MAP_TYPE_")
		case "max_entries":
			m.entries = f[2]
		case "map_flags":
			m.flags = strings.TrimPrefix(f[2], "BPF_F_")
		}
	}
	words := strings.Join(strings.Fields(strings.ReplaceAll(text[1], "\n *", "\n")), " ")
	at := sentence.FindAllStringSubmatchIndex(words, -1)
	if len(at) > 0 && at[0][0] > 0 {
		m.value = strings.TrimSuffix(strings.TrimSpace(words[:at[0][0]]), ".")
	}
	for i, s := range at {
		end := len(words)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		content := strings.TrimSuffix(strings.TrimSpace(words[s[1]:end]), ".")
		switch words[s[2]:s[3]] {
		case "Key":
			m.key = content
		case "Value":
			m.value = content
		case "Writer":
			m.writer = content
		case "Reader":
			m.reader = content
		default:
			m.writer, m.reader = content, content
		}
	}
	if m.writer == "" || m.reader == "" {
		return m, fmt.Errorf("the comment does not name writer and reader")
	}
	return m, nil
}

func dropsDoc(drops []drop) []byte {
	var b bytes.Buffer
	b.WriteString("# Drop reasons\n\nGenerated from `bpf/abi/drop.h` by `make generate`.\n\n")
	b.WriteString("| number | reason | meaning |\n|---|---|---|\n")
	for _, d := range drops {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", d.number, d.name, d.help)
	}
	return b.Bytes()
}

func mapsDoc(maps []bpfMap) []byte {
	var b bytes.Buffer
	b.WriteString("# BPF maps\n\nGenerated from `bpf/map` by `make generate`. Every map is pinned by its name.\n\n")
	b.WriteString("| map | type | entries | key | value | writer | reader |\n|---|---|---|---|---|---|---|\n")
	for _, m := range maps {
		kind := m.kind
		if m.flags != "" {
			kind += ", " + m.flags
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", m.name, kind, m.entries, m.key, m.value, m.writer, m.reader)
	}
	return b.Bytes()
}
