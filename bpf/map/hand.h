/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../lib/compiler.h"
#include "../lib/packet.h"

/* What a container's program and the shared programs hand each other with a packet. */
struct hand {
	struct packet packet;
	struct translation translation;
	struct container container; /* valid in the shared programs */
	struct packet seen;         /* the packet before its flow's translation, which the far end sees */
	int reason;                 /* why the packet goes no further in a container's program */
};

/* Key: 0. Value: the packet that this CPU works on, with what is known of it.
 * Writer and reader: the programs egress, ingress and the shared ones, within one packet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hand);
} hand SEC(".maps");
