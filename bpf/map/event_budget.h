/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/event.h"
#include "../lib/compiler.h"

/* Key: (slot + 1) * EVENTS_CLASSES + enum event_class; the first EVENTS_CLASSES are for what is of no container. Value: what
 * was written and lost of these events, so that no container's flood costs another one's events.
 * Writer: every program that writes events, on all processors. Reader: the same, and observe. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, (SLOTS_MAX + 1) * EVENTS_CLASSES);
	__uint(map_flags, BPF_F_MMAPABLE); /* observe looks at all of it every second */
	__type(key, __u32);
	__type(value, struct event_budget);
} event_budget SEC(".maps");
