package abi

// SharedPrograms are the programs of bpf/shared.bpf.c by the slot that each has in the map shared_slots.
var SharedPrograms = map[uint32]string{
	SharedParse:     "shared_parse",
	SharedFragment:  "shared_fragment",
	SharedTranslate: "shared_translate",
	SharedNeighbour: "shared_neighbour",
	SharedRelate:    "shared_relate",
	SharedOnward:    "shared_onward",
	SharedOpen:      "shared_open",
	SharedDrop:      "shared_drop",
	SharedClosed:    "shared_closed",
}
