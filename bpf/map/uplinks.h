/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: ifindex of a device that carries the host's own addresses. Value: those addresses.
 * Writer: datapath (uplinks as they come, go and change).
 * Reader: the programs egress (step masquerade), from_uplink. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct uplink);
} uplinks SEC(".maps");
