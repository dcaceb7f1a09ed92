package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
)

// The page's files; without make ui only the placeholder, which says so.
//
//go:embed all:dist
var embedded embed.FS

// contentPolicy lets the page load nothing but its own files.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// asset is a file of the page.
type asset struct {
	text []byte
	kind string
	tag  string // of its content
}

// assets reads the page's files by their paths.
func assets(dist fs.FS) (map[string]asset, error) {
	out := map[string]asset{}
	files, err := fs.ReadDir(dist, ".")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		text, err := fs.ReadFile(dist, f.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		out["/"+f.Name()] = asset{text, contentTypes[path.Ext(f.Name())], `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	index, built := out["/index.html"]
	if !built {
		index = out["/placeholder.html"]
	}
	out["/"] = index
	return out, nil
}

// Built reports whether the program has its page; else it was built without make ui.
func Built() bool {
	_, err := fs.Stat(embedded, "dist/index.html")
	return err == nil
}

func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[r.URL.Path]
	if !ok || a.kind == "" {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("ETag", a.tag)
	h.Set("Cache-Control", "no-cache")
	if r.Header.Get("If-None-Match") == a.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(a.text) // the client is gone: nobody to tell
}
