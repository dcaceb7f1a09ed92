/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How much each container may tell: what one of them floods is shed, and counted, and costs the others nothing. */
#pragma once
#include "../abi/event.h"
#include "../lib/packet.h"
#include "../map/event_budget.h"
#include "../map/event_limits.h"

/* What was told of the container whose packet it is, of one class. NULL: it is beyond the map. */
STEP struct event_budget *budget_of(const struct packet *p, __u32 class)
{
	__u32 key = class;

	if (p->direction != DIRECTION_UPLINK)
		key += (p->slot + 1) * EVENTS_CLASSES;
	return bpf_map_lookup_elem(&event_budget, &key);
}

/* Notes an event that is not written. */
STEP void budget_lose(struct event_budget *b)
{
	__sync_fetch_and_add(&b->lost, 1);
}

/* Takes an event out of the budget. crowded: the ring fills faster than it is read, so that who wrote much of late waits,
 * and the others find room. 0: nothing is left of it. */
STEP int budget_take(struct event_budget *b, __u32 class, int crowded)
{
	struct event_limit *limit = bpf_map_lookup_elem(&event_limits, &class);
	__u64 now = bpf_ktime_get_coarse_ns(), used = b->used;

	if (!limit || !limit->cost)
		return 1;
	if (used < now) /* whoever comes first begins anew */
		__sync_val_compare_and_swap(&b->used, used, now);
	else if (used - now > (crowded ? limit->burst / 16 : limit->burst))
		return 0;
	__sync_fetch_and_add(&b->used, limit->cost);
	return 1;
}
