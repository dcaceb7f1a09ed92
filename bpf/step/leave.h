/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* To whatever is no container. */
#pragma once
#include "arp.h"
#include "masquerade.h"
#include "nd.h"

/* Whether the destination is on the container's own subnet. */
STEP int on_subnet(const struct hand *h)
{
	return h->packet.family == 4 ? on_subnet4(&h->container, h->packet.dst.w[3]) :
				       on_subnet6(&h->container, &h->packet.dst);
}

/* A reply of the container to itself, which it reached by a frontend. */
STEP int to_itself(struct __sk_buff *skb, struct hand *h, struct flow *f)
{
	int reason = reply_untranslate(skb, &h->packet, f);

	return reason ? -reason : bpf_redirect_peer(h->container.ifindex, 0);
}

/* To the container itself, the host, nobody, or the world. f is NULL for ICMP errors. The TC action, or the negative
 * drop reason. */
STEP int to_outside(struct __sk_buff *skb, struct hand *h, struct flow *f)
{
	if (f && h->packet.reply && f->flags & FLOW_HAIRPIN)
		return to_itself(skb, h, f);
	if (h->packet.peer_kind == PEER_HOST)
		return TC_ACT_OK;
	if (on_subnet(h))
		return send_icmp_error(skb, h, ANSWER_HOST_UNREACHABLE, 0);
	if (h->container.internal)
		return -DROP_INTERNAL;
	return masquerade_and_leave(skb, h, f);
}
