/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/event.h"
#include "../lib/compiler.h"

/* A record of the ring captures while it is made. */
struct capture_scratch {
	struct capture head;
	__u8 frame[CAPTURE_MAX];
};

/* Key: 0. Value: the packet that this CPU works on, as its container sent it.
 * Writer and reader: the programs egress and the shared ones, within one packet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct capture_scratch);
} capture_scratch SEC(".maps");
