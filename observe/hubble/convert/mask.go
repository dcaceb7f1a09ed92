package convert

import (
	"fmt"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// Mask says which fields of a flow are wanted. A nil mask wants all. It may be used from several goroutines.
type Mask struct {
	all    bool // the whole message
	fields map[protoreflect.Name]*Mask
}

// NewMask reads a field mask over flows: paths like time, source.pod_name, l4.TCP. None means all fields. The error names
// a path that flows don't have.
func NewMask(m *fieldmaskpb.FieldMask) (*Mask, error) {
	if len(m.GetPaths()) == 0 {
		return nil, nil
	}
	root := &Mask{fields: map[protoreflect.Name]*Mask{}}
	for _, path := range m.GetPaths() {
		if err := root.add(path); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// add enters one path.
func (m *Mask) add(path string) error {
	message := (&flowpb.Flow{}).ProtoReflect().Descriptor()
	for name := range strings.SplitSeq(path, ".") {
		var field protoreflect.FieldDescriptor
		if message != nil {
			field = message.Fields().ByName(protoreflect.Name(name))
		}
		if field == nil {
			return fmt.Errorf("read field mask: flows have no field %q", path)
		}
		if m.fields[field.Name()] == nil {
			m.fields[field.Name()] = &Mask{fields: map[protoreflect.Name]*Mask{}}
		}
		m, message = m.fields[field.Name()], nil
		if field.Cardinality() != protoreflect.Repeated {
			message = field.Message()
		}
	}
	m.all = true
	return nil
}

// wants reports whether a field of flows is wanted, at least in part.
func (m *Mask) wants(field protoreflect.Name) bool { return m == nil || m.fields[field] != nil }

// Apply takes out of a flow what is not wanted, and returns it.
func (m *Mask) Apply(f *flowpb.Flow) *flowpb.Flow {
	if m != nil && f != nil {
		m.apply(f.ProtoReflect())
	}
	return f
}

func (m *Mask) apply(message protoreflect.Message) {
	if m.all {
		return
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch below, wanted := m.fields[field.Name()]; {
		case !wanted:
			message.Clear(field)
		case !below.all:
			below.apply(value.Message())
		}
		return true
	})
}
