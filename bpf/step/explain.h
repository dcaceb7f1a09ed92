/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the loaded programs say of a packet that nobody sent: a test run asks them, by enum explain in skb->cb. It leaves no
 * flow, no count and no event. */
#pragma once
#include <linux/pkt_cls.h>
#include "../abi/config.h"
#include "../abi/drop.h"
#include "../lib/packet.h"
#include "policy.h"

/* Whether the packet is a question. skb->cb says so rather than the packet in hand, which a packet that interrupts a test run
 * could overwrite. */
STEP int is_question(const struct __sk_buff *skb)
{
	return (skb->cb[0] & EXPLAIN_MASK) == EXPLAIN_QUESTION;
}

/* What egress says of a packet that opens a connection: its policy, and what shared_leave would. 0 or the drop reason. */
RARE int explain_egress(struct packet *p)
{
	int reason;

	if (!p)
		return DROP_POLICY_DENIED;
	reason = decide(p, POLICY_EGRESS);
	if (!reason && FEATURE_INTERNAL && p->peer_kind == PEER_WORLD)
		reason = DROP_INTERNAL;
	return reason;
}

/* What ingress says of it, and of the published port by which it came. 0 or the drop reason. */
RARE int explain_ingress(struct __sk_buff *skb, struct packet *p)
{
	__u32 port = skb->cb[0] >> 16;

	if (!p)
		return DROP_POLICY_DENIED;
	if (FEATURE_MASQUERADE && p->peer_kind == PEER_WORLD && !port)
		return DROP_NOT_PUBLISHED;
	p->frontend = bpf_htons(port);
	return FEATURE_POLICY_PUBLISH && port ? decide_published(p) : decide(p, POLICY_INGRESS);
}

/* Ends a test run with the answer. */
RARE int answer_question(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
	if (!p)
		return TC_ACT_SHOT;
	skb->cb[0] = EXPLAIN_ANSWER | ENFORCEMENT | peer_class(p) << 16 | (__u32)p->side << 24;
	if (let_through(p))
		skb->cb[0] |= EXPLAIN_PASSES;
	skb->cb[1] = reason;
	skb->cb[2] = p->rule;
	skb->cb[3] = REVISION;
	skb->cb[4] = p->peer_identity;
	return TC_ACT_SHOT;
}
