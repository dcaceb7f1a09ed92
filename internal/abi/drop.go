package abi

import "strconv"

// DropReason says why a packet was dropped; 0 that it was not.
type DropReason uint16

type dropText struct{ name, help string }

// String returns the reason's short name, or its number if it has none.
func (r DropReason) String() string {
	if r == DropNone {
		return "forwarded"
	}
	if text, ok := dropTexts[r]; ok {
		return text.name
	}
	return "reason " + strconv.Itoa(int(r))
}

// Help returns a sentence that explains the reason, or nothing if the reason is unknown.
func (r DropReason) Help() string { return dropTexts[r].help }

// DropReasons is how many reasons each direction has room for in the map metrics.
const DropReasons = 64
