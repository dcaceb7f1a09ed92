package server

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"

	"github.com/sluice-net/sluice/api"
)

// decode reads exactly one JSON document of at most limit bytes; fields that T does not have are refused.
func decode[T any](r *http.Request, limit int64) (T, error) {
	var v T
	defer readBy(r.Context())()
	dec := json.NewDecoder(http.MaxBytesReader(nil, r.Body, limit))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return v, undecodable(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return v, undecodable(err)
		}
		return v, api.Errorf(api.CodeInvalid, "decode request: there is more than one JSON document")
	}
	return v, nil
}

func undecodable(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return api.Errorf(api.CodeInvalid, "decode request: it is larger than %d bytes", tooLarge.Limit)
	case errors.Is(err, io.EOF):
		return api.Errorf(api.CodeInvalid, "decode request: the body is empty")
	}
	return api.Errorf(api.CodeInvalid, "decode request: %v", err)
}

// write sends a document. A nil slice becomes an empty list, so that clients never see null.
func (s *Server) write(w http.ResponseWriter, status int, v any) {
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Slice && rv.IsNil() {
		v = []struct{}{}
	}
	b, err := json.Marshal(v)
	if err != nil {
		s.log.Errorf("encode answer: %v", err)
		status, b = http.StatusInternalServerError, []byte(`{"code":"internal","message":"encode answer: the daemon's log has the details"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(append(b, '\n')); err != nil {
		s.log.Debugf("send answer: %v", err)
	}
}

// refuse sends an error with its code.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	e := refusal(err)
	if e.Code == api.CodeInternal {
		s.log.Errorf("serve request: %v", err)
	}
	s.write(w, e.Code.Status(), e)
}

// refusal returns the error as clients get it: with its code, and with what was wrapped around the coded one.
func refusal(err error) *api.Error {
	var coded *api.Error
	if !errors.As(err, &coded) {
		return api.Errorf(api.CodeInternal, "%v", err)
	}
	if error(coded) == err {
		return coded
	}
	bare := &api.Error{Code: coded.Code, Message: err.Error(), Problems: coded.Problems}
	if len(coded.Problems) > 0 { // err.Error() has the problems in it
		bare.Message = coded.Message
	}
	return bare
}
