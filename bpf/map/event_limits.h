/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/event.h"
#include "../lib/compiler.h"

/* Key: enum event_class. Value: how many of these events each container may write.
 * Writer: datapath when it starts, then observe, which lowers them while many containers write much. Reader: every program
 * that writes events. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EVENTS_CLASSES);
	__type(key, __u32);
	__type(value, struct event_limit);
} event_limits SEC(".maps");
