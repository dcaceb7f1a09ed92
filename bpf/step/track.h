/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which flow a packet belongs to, whether the container's policies allow it, and who has to know. */
#pragma once
#include <linux/in.h>
#include "../abi/config.h"
#include "../map/hand.h"
#include "flow.h"
#include "policy.h"

/* Whether a packet that continues no flow may be for a frontend: it is translated, and its flow is that to the backend.
 * So a known flow that needs no translation costs no look-up for one. */
STEP int may_be_frontend(const struct packet *p)
{
	return FEATURE_SERVICES && p->peer_kind != PEER_CONTAINER && p->stage < STAGE_TRANSLATED &&
	       (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP);
}

/* The reply of a container to itself goes to the gateway, which stands for it, but itself is who was judged. */
STEP void peer_is_itself(struct packet *p)
{
	p->peer_kind = PEER_CONTAINER;
	p->peer_identity = IDENTITY;
	p->peer_network = NETWORK;
}

/* A packet of a known flow, or the first of a new one, as the container that sends it sees it. */
STEP int track_egress(struct hand *h, struct flow **found)
{
	struct packet *p = &h->packet;
	struct tuple key = {};
	int side, reason;

	*found = flow_of(p, &key, &side);
	if (likely(*found)) {
		if (!p->reply)
			return judge_egress(p, *found);
		if (unlikely((*found)->flags & FLOW_HAIRPIN))
			peer_is_itself(p);
		return judge_ingress(p, *found);
	}
	if (may_be_frontend(p))
		return -SHARED_TRANSLATE;
	p->reply = 0;
	reason = refuse_untracked(p);
	if (!reason)
		reason = judge(p, POLICY_EGRESS);
	return reason ?: -SHARED_OPEN;
}

/* How many times the packet is to be counted in its flow: not, if the program before this one did. That of a container
 * does, from_uplink if it says that the packet is allowed. Without a branch, which would double what the verifier walks
 * behind it: ORIGIN_CONTAINER alone has the lowest bit. */
STEP __u32 uncounted(const struct __sk_buff *skb, const struct packet *p)
{
	__u32 allowed = skb->cb[3];

	allowed = (allowed | -allowed) >> 31;
	opaque(allowed);
	return ~(allowed | p->origin) & 1;
}

/* A packet of a known flow, or the first of a new one, as the container that it is sent to sees it. */
STEP int track_ingress(struct packet *p, struct flow **found)
{
	struct tuple key = {};
	int side, reason;

	*found = flow_of(p, &key, &side);
	if (likely(*found))
		return p->reply ? judge_egress(p, *found) : judge_ingress(p, *found);
	p->reply = 0;
	reason = refuse_untracked(p);
	if (!reason && FEATURE_MASQUERADE && p->peer_kind == PEER_WORLD) /* from_uplink enters the flows of published ports */
		reason = DROP_NOT_PUBLISHED;
	if (!reason)
		reason = judge(p, POLICY_INGRESS);
	return reason ?: -SHARED_OPEN;
}

/* The packet goes neither to another container nor to the host. */
STEP int leaves(const struct packet *p, const struct flow *f)
{
	return unlikely(p->peer_kind == PEER_WORLD) || (f && f->flags & FLOW_HAIRPIN && p->reply);
}

/* The packet is a reply, which gets the source that the container named. */
STEP int returns(const struct packet *p, const struct flow *f)
{
	return f && p->reply && unlikely(f->flags & FLOW_DNAT);
}

/* The packet is to be told: it is news at the container's level, or its judgement is to who watches or learns. */
STEP int is_told(const struct packet *p)
{
	if (LEVEL >= LEVEL_PACKETS || CAPTURE || (LEVEL >= LEVEL_FLOWS && unlikely(p->news)))
		return 1;
	return ENFORCEMENT != ENFORCE && p->judgement & ~REVISION;
}
