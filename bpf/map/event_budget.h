/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/event.h"
#include "../lib/compiler.h"

/* Key: enum event_type. Value: how many of these events this CPU may still write, so that a flood cannot fill the ring and burn its reader.
 * Writer and reader: every program that writes events. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENT_TYPES);
	__type(key, __u32);
	__type(value, struct budget);
} event_budget SEC(".maps");
