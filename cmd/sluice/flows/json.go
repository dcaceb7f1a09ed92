package flows

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// splitJSON returns the documents of a text in which one follows another.
func splitJSON(text string) ([]json.RawMessage, error) {
	var all []json.RawMessage
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		var d json.RawMessage
		switch err := dec.Decode(&d); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		all = append(all, d)
	}
}

// compactJSON returns a message on one line: protojson's own spaces vary from run to run.
func compactJSON(m proto.Message) (string, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return "", err
	}
	return b.String(), nil
}
