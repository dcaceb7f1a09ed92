/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The packet in hand, where it lies while programs give it to each other. */
#pragma once
#include "../abi/host.h"
#include "../map/egress_slots.h"
#include "../map/hand.h"
#include "../map/ingress_slots.h"

/* This CPU's hand. NULL does not happen, but for the verifier. */
STEP struct hand *hand_open(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&hand, &zero);
}

/* Back to the program of the container. Returns only if its slot was emptied meanwhile. */
STEP void hand_back(struct __sk_buff *skb, struct hand *h, __u8 stage)
{
	h->packet.stage = stage;
	skb->cb[4] = VERSION;
	if (h->packet.direction == DIRECTION_EGRESS)
		bpf_tail_call(skb, &egress_slots, h->packet.slot);
	else
		bpf_tail_call(skb, &ingress_slots, h->packet.slot);
}
