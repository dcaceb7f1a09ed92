/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: slot * 2 + enum direction (egress 0, ingress 1). Value: the limit and how much of it is used.
 * Writer: datapath writes the limit; the programs egress, ingress and the shared ones, on all processors, what is used.
 * Reader: the same. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS_MAX * 2);
	__type(key, __u32);
	__type(value, struct rate);
} rates SEC(".maps");
