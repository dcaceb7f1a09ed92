package sink

import (
	"context"
	"errors"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-net/sluice/observe"
)

// ErrRefused is what an error wraps if sending the same again would end alike.
var ErrRefused = errors.New("the receiver refuses it")

// Record is a flow on its way out.
type Record struct {
	// Flow is the flow itself.
	Flow *observe.Flow
	// Hubble is the flow in Hubble's form, with the fields of the export's mask only. Nil where flows were lost.
	Hubble *flowpb.Flow
	// Lost is set where flows were lost.
	Lost *flowpb.LostEvent
	// Node is the name of this machine.
	Node string
}

// Event returns the record as Hubble's exporters write it, and as hubble observe -o jsonpb prints it.
func (r Record) Event() *observerpb.ExportEvent {
	e := &observerpb.ExportEvent{NodeName: r.Node, Time: timestamppb.New(r.Flow.Time)}
	if r.Lost != nil {
		e.ResponseTypes = &observerpb.ExportEvent_LostEvents{LostEvents: r.Lost}
		return e
	}
	e.ResponseTypes = &observerpb.ExportEvent_Flow{Flow: r.Hubble}
	return e
}

// Result is what became of a batch: of its first records Sent were taken, and the next Refused never will be. The rest, if
// any, is to be sent again, for the reason Err.
type Result struct {
	Sent, Refused int
	Err           error
	Wait          time.Duration // that the receiver asks for before it is tried again; 0: it does not say
}

// Sink takes flows. It is driven by one goroutine.
type Sink interface {
	// Send hands records over in their order. It returns when they are taken or the context ends.
	Send(ctx context.Context, batch []Record) Result
	// Target says where flows go, without secrets.
	Target() string
	// Close gives back what the sink holds. What was sent is not waited for.
	Close() error
}
