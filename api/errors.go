package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Code says what kind of refusal an Error is; it maps to one HTTP status.
type Code string

// The codes. CodeInternal is what an error without a code becomes.
const (
	CodeInvalid     Code = "invalid"     // the request or a document in it is wrong
	CodeNotFound    Code = "not found"   // no such object
	CodeAmbiguous   Code = "ambiguous"   // the name or prefix fits several objects
	CodeConflict    Code = "conflict"    // the state of the object does not allow it
	CodeUnavailable Code = "unavailable" // the daemon or what it needs does not answer, or a wait ran out
	CodeInternal    Code = "internal"    // a defect or a failure of the host
)

// Error is a refusal. Message reads "verb object: cause".
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	// Problems are the places of the documents that were refused, in their order.
	Problems []Problem `json:"problems,omitempty"`
}

// Problem is one place in a document and what is wrong with it.
type Problem struct {
	Source  string `json:"source,omitempty"` // the file, as the client called it
	Line    int    `json:"line,omitempty"`   // 1-based, 0: unknown
	Message string `json:"message"`
}

// String returns "file:line: message".
func (p Problem) String() string {
	switch {
	case p.Source == "":
		return p.Message
	case p.Line == 0:
		return p.Source + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", p.Source, p.Line, p.Message)
}

// Error returns the message and the problems, one a line.
func (e *Error) Error() string {
	lines := make([]string, 0, 1+len(e.Problems))
	lines = append(lines, e.Message)
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// Errorf makes an Error with a code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the Error that err wraps, CodeInternal if it wraps none, and "" for nil.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	}
	return CodeInternal
}

// Status returns the HTTP status of a code.
func (c Code) Status() int {
	switch c {
	case CodeInvalid:
		return http.StatusBadRequest
	case CodeNotFound:
		return http.StatusNotFound
	case CodeAmbiguous:
		return http.StatusMultipleChoices
	case CodeConflict:
		return http.StatusConflict
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
