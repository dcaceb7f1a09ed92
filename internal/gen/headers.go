package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// headers are the comments of the shared headers: BTF has none.
type headers struct {
	source map[string]string // by file name
	types  map[string]string // by struct or enum tag
	fields map[string]string // by tag.field, or by enumerator
}

var (
	typeStart   = regexp.MustCompile(`^(struct|enum) (\w+) \{(?:\s*/\*\s*(.*?)\s*\*/)?$`)
	fieldLine   = regexp.MustCompile(`^\t[\w ]+?((?:\w+(?:\[\w+\])?(?:, )?)+);(?:\s*/\*\s*(.*))?$`)
	enumLine    = regexp.MustCompile(`^\t([A-Z]\w+) = [^,]*,(?:\s*/\*\s*(.*))?$`)
	fieldName   = regexp.MustCompile(`\w+`)
	commentOpen = regexp.MustCompile(`^/\*\s*(.*)$`)
)

// readHeaders reads all headers of a directory.
func readHeaders(dir string) (*headers, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.h"))
	if err != nil {
		return nil, err
	}
	h := &headers{source: map[string]string{}, types: map[string]string{}, fields: map[string]string{}}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		h.source[filepath.Base(path)] = string(b)
		h.parse(strings.Split(string(b), "\n"))
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("read headers: none in %s", dir)
	}
	return h, nil
}

func (h *headers) parse(lines []string) {
	var comment, tag, kind string
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if m := commentOpen.FindStringSubmatch(line); m != nil {
			comment, i = readComment(m[1], lines, i)
			continue
		}
		if m := typeStart.FindStringSubmatch(line); m != nil {
			kind, tag = m[1], m[2]
			if m[3] != "" {
				comment = m[3]
			}
			h.types[tag] = comment
			comment = ""
			continue
		}
		if tag == "" {
			if strings.TrimSpace(line) != "" {
				comment = ""
			}
			continue
		}
		if strings.HasPrefix(line, "}") {
			tag = ""
			continue
		}
		i = h.parseMember(kind, tag, lines, i)
	}
}

// parseMember notes the comment behind a field or an enumerator and returns the last line that it reaches.
func (h *headers) parseMember(kind, tag string, lines []string, i int) int {
	if kind == "enum" {
		if m := enumLine.FindStringSubmatch(lines[i]); m != nil && m[2] != "" {
			h.fields[m[1]], i = readComment(m[2], lines, i)
		}
		return i
	}
	m := fieldLine.FindStringSubmatch(lines[i])
	if m == nil || m[2] == "" {
		return i
	}
	text, last := readComment(m[2], lines, i)
	for _, name := range fieldName.FindAllString(m[1], -1) {
		h.fields[tag+"."+name] = text
	}
	return last
}

// readComment joins a comment that may go on over the next lines. It returns the text and the comment's last line.
func readComment(first string, lines []string, i int) (string, int) {
	text := first
	for !strings.Contains(text, "*/") && i+1 < len(lines) {
		i++
		text += " " + strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lines[i]), "*"))
		if strings.HasSuffix(strings.TrimSpace(lines[i]), "*/") && !strings.Contains(text, "*/") {
			text += "*/"
		}
	}
	text, _, _ = strings.Cut(text, "*/")
	return strings.TrimSpace(text), i
}
