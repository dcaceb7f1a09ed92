/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: 0. Value: a flow that this CPU is about to enter, which the programs' stack is too small for.
 * Writer and reader: the programs that enter flows, within one packet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow);
} flow_scratch SEC(".maps");
