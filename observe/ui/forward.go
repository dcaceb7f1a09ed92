package ui

import (
	"io"
	"net/http"
	"strings"
)

// forwarded are the questions of the page that the API answers. None changes anything.
var forwarded = map[string]string{
	"GET /api/status":   "/v1/status",
	"GET /api/policies": "/v1/policies",
	"GET /api/exposed":  "/v1/policy/exposed",
	"POST /api/explain": "/v1/policy/explain",
}

// posted are those that the API wants to be posted although the page gets them.
var posted = map[string]string{"/v1/policy/exposed": "{}"}

// forward asks the API's own handler.
func (s *Server) forward(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.URL.Path, out.URL.RawPath, out.RequestURI, out.Pattern = path, "", "", ""
		out.Body = http.MaxBytesReader(w, r.Body, maxForward)
		if body, ok := posted[path]; ok {
			out.Method = http.MethodPost
			out.Body = http.MaxBytesReader(w, io.NopCloser(strings.NewReader(body)), maxForward)
		}
		s.o.API.ServeHTTP(w, out)
	}
}
