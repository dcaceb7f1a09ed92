/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: slot * 2 + enum direction (egress 0, ingress 1). Value: packets and bytes forwarded, per CPU.
 * Writer: the programs egress and ingress. Reader: datapath/maps. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS_MAX * 2);
	__type(key, __u32);
	__type(value, struct counter);
} slots SEC(".maps");
