package servicemap

import (
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// Service returns the port of who accepts a flow's connection, 0 if it has none.
func Service(f *observe.Flow) uint16 {
	if f.Reply() == observe.ReplyTrue {
		return f.SourcePort()
	}
	return f.DestinationPort()
}

// Reason returns why a flow's packet was dropped, or would have been; empty otherwise.
func Reason(f *observe.Flow) string {
	if f.Reason() == abi.DropNone {
		return ""
	}
	return f.Reason().String()
}
