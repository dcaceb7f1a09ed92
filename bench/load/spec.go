package load

import (
	"fmt"
	"net/netip"
	"time"
)

// Mode is a kind of traffic.
type Mode string

// The modes.
const (
	// RR exchanges one byte each way over one TCP connection.
	RR Mode = "rr"
	// CRR connects, exchanges one byte each way and closes, over the server's ports in turn.
	CRR Mode = "crr"
	// Stream sends as much as it can over one TCP connection.
	Stream Mode = "stream"
	// UDP sends datagrams in bursts. The last of each goes to the server's second port and is acknowledged.
	UDP Mode = "udp"
)

// Ports is the number of ports that a server listens on, and that CRR goes over.
const Ports = 16

// Spec is what one process of a measurement does.
type Spec struct {
	Mode Mode `json:"mode"`
	// Namespace is the path of the network namespace, empty for that of the caller.
	Namespace string `json:"namespace,omitempty"`
	// CPU is the processor that the thread is pinned to.
	CPU int `json:"cpu"`
	// Addr is the address and first port: that the server listens on, that the client connects to.
	Addr netip.AddrPort `json:"addr"`
	// Duration is how long a client measures, after a tenth of it unmeasured; a server ends when the client does.
	Duration time.Duration `json:"duration"`
}

// Result is what a process measured.
type Result struct {
	// CPU is the processor time of the thread.
	CPU time.Duration `json:"cpu"`
	// Transactions counts exchanges (RR, CRR) or datagrams (UDP): a client's sent, a server's received.
	Transactions uint64 `json:"transactions"`
	// Bytes counts what a stream carried.
	Bytes uint64 `json:"bytes"`
	// P50 is the median time of an exchange.
	P50 time.Duration `json:"p50"`
	// P99 is the 99th percentile of it.
	P99 time.Duration `json:"p99"`
	// Elapsed is the wall clock time that the client measured.
	Elapsed time.Duration `json:"elapsed"`
	// Stalls counts bursts of datagrams whose acknowledgement did not come in time.
	Stalls uint64 `json:"stalls"`
}

func (s Spec) check() error {
	switch s.Mode {
	case RR, CRR, Stream, UDP:
	default:
		return fmt.Errorf("check load: unknown mode %q", s.Mode)
	}
	if !s.Addr.IsValid() || s.Addr.Port() == 0 || int(s.Addr.Port())+Ports > 1<<16 {
		return fmt.Errorf("check load: address %v leaves no room for %d ports", s.Addr, Ports)
	}
	if s.Duration <= 0 || s.Duration > time.Minute {
		return fmt.Errorf("check load: duration %v is not within a minute", s.Duration)
	}
	return nil
}
