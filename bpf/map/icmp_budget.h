/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: 0. Value: how many ICMP errors this CPU may still make (RFC 1812, 4.3.2.8; RFC 4443, 2.4 f).
 * Writer and reader: the program egress (step unreachable). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct budget);
} icmp_budget SEC(".maps");
