/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: address of a container or of the host. Value: where it is and who it is.
 * Not preallocated: readers hold values while they are replaced, and a preallocated element could be reused under them.
 * Writer: datapath/maps.
 * Reader: the programs egress, ingress, from_uplink and the socket hooks. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ip);
	__type(value, struct endpoint);
} endpoints SEC(".maps");
