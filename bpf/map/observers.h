/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/event.h"
#include "../lib/compiler.h"

/* Key: 0. Value: enum observer_flags, what somebody listens to.
 * Writer: observe. Reader: every program. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} observers SEC(".maps");
