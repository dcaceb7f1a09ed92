/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: normalised tuple of a flow that is not TCP. Value: its state and who allowed it.
 * Writer: the programs egress, ingress, from_uplink; datapath/maps removes the expired.
 * Reader: the same, and sluice bpf conntrack. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct tuple);
	__type(value, struct flow);
} flows_any SEC(".maps");
