/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: normalised tuple of a masqueraded flow as the outside sees it. Value: the container's address and port.
 * Writer: the program egress (step masquerade); datapath/maps removes the expired.
 * Reader: the programs egress, from_uplink, to_uplink. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct tuple);
	__type(value, struct nat);
} nat SEC(".maps");
