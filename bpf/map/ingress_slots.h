/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: slot. Value: the program that judges what enters the container of that slot; an empty slot drops.
 * Writer: datapath, one slot at a time, which is the atomic replacement.
 * Reader: the doors door_to, the programs egress and from_uplink. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SLOTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} ingress_slots SEC(".maps");
