/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/drop.h"
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: enum direction * DROP_REASON_MAX + enum drop_reason (0: forwarded). Value: packets and bytes, per CPU.
 * Writer: every program. Reader: datapath/maps. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DIRECTIONS * DROP_REASON_MAX);
	__type(key, __u32);
	__type(value, struct counter);
} metrics SEC(".maps");
