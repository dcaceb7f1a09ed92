package observe

import "github.com/sluice-net/sluice/api"

// historySize is how many events are remembered.
const historySize = 4095

// history is a ring of the last events. It is not safe for concurrent use.
type history struct {
	ring []api.Event // grows up to historySize
	next int         // where the next one goes once the ring is full
}

// add remembers an event and forgets the oldest if there are too many.
func (h *history) add(e api.Event) {
	if len(h.ring) < historySize {
		h.ring = append(h.ring, e)
		return
	}
	h.ring[h.next] = e
	h.next = (h.next + 1) % historySize
}

// last returns the newest n events that match, all with a negative n, in the order of their arrival.
func (h *history) last(n int, match func(*api.Event) bool) []api.Event {
	var found []api.Event
	for i := len(h.ring) - 1; i >= 0 && n != 0; i-- {
		e := &h.ring[(h.next+i)%len(h.ring)]
		if match(e) {
			found = append(found, *e)
			n--
		}
	}
	for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
		found[i], found[j] = found[j], found[i]
	}
	return found
}
