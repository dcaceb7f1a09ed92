/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: normalised tuple of a flow as its other end sees it: of a masqueraded one, or one to a frontend that has changed
 * since. Value: the container's address and port. Writer: the shared programs (step masquerade) of masqueraded flows,
 * datapath/maps/services.go of the others; datapath/maps removes the expired. Reader: these programs and from_uplink. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct tuple);
	__type(value, struct nat);
} nat SEC(".maps");
