/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: enum shared. Value: the program; an empty slot drops. Every version of the programs has an array of its own,
 * pinned with the version in its name, so that programs of two versions never hand each other a packet.
 * Writer: datapath, once, before a container's program is loaded.
 * Reader: the programs egress and ingress. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SHARED_MAX);
	__type(key, __u32);
	__type(value, __u32);
} shared_slots SEC(".maps");
