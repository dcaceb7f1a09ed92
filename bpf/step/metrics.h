/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting what passes and what is dropped. */
#pragma once
#include "../abi/drop.h"
#include "../map/metrics.h"
#include "../map/slots.h"

STEP void count(__u32 direction, __u32 reason, __u32 bytes)
{
	__u32 key = direction * DROP_REASON_MAX + reason;
	struct counter *c = bpf_map_lookup_elem(&metrics, &key);

	if (c) {
		c->packets++;
		c->bytes += bytes;
	}
}

/* Counts a packet that a container's program lets pass. */
STEP void count_forwarded(__u32 slot, __u32 direction, __u32 bytes)
{
	__u32 key = slot * 2 + direction;
	struct counter *c = bpf_map_lookup_elem(&slots, &key);

	if (c) {
		c->packets++;
		c->bytes += bytes;
	}
	count(direction, DROP_NONE, bytes);
}
