/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: normalised tuple of a translated flow as its other end sees it. Value: the container's address and port.
 * Writer: the programs egress (steps masquerade and service) and from_uplink; datapath/maps removes the expired.
 * Reader: the same. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct tuple);
	__type(value, struct nat);
} nat SEC(".maps");
