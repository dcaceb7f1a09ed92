/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What becomes of a packet: it is counted, and told as far as the level of its container goes. */
#pragma once
#include <linux/pkt_cls.h>
#include "../abi/drop.h"
#include "../abi/event.h"
#include "../abi/policy.h"
#include "../map/hand.h"
#include "capture.h"
#include "event.h"
#include "metrics.h"

/* Tells what audits and who learns want to know of a judgement. The packet passes; what an audit said of it is not said again
 * with what becomes of it. */
STEP void tell_watched(struct __sk_buff *skb, struct packet *p)
{
	if (p->judgement & REVISION_AUDITED) {
		if (p->level >= LEVEL_DROPS)
			tell(skb, p, NULL, EVENT_AUDIT, p->denied);
		p->judged = JUDGED_NO;
	}
	if (p->judgement & REVISION_LEARNED)
		tell(skb, p, NULL, EVENT_LEARN, p->denied);
}

/* Notes who tells of a flow, for what is told when it expires. */
STEP void note_teller(struct flow *f, const struct packet *p)
{
	if (f->teller)
		return;
	f->teller_opened = (p->direction == DIRECTION_EGRESS) ^ (p->reply & 1);
	f->teller = p->slot + 1;
}

/* A packet that passes: counts it, and tells of it what is new. Of one with a flow of which there is something to tell,
 * h->seen is how it was before it was translated on its way. */
STEP void pass(struct __sk_buff *skb, struct hand *h, struct flow *f)
{
	struct packet *p = &h->packet;

	if (unlikely(p->refused))
		return;
	count_forwarded(p->slot, p->direction, skb->len);
	if (likely(!p->news && !p->capture))
		return;
	if (f)
		p = &h->seen;
	if (p->news && p->level >= LEVEL_FLOWS) {
		if (f)
			note_teller(f, p);
		tell(skb, p, f, EVENT_TRACE, DROP_NONE);
	}
	if (p->capture)
		capture_write(skb, p, f, EVENT_TRACE, DROP_NONE);
}

/* Tells of a packet that is dropped, unless it is noise that every container makes. */
RARE int tell_drop(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
	if (!p)
		return 0;
	if (p->level >= (reason == DROP_MULTICAST ? LEVEL_PACKETS : LEVEL_DROPS))
		tell(skb, p, NULL, EVENT_DROP, reason);
	if (unlikely(p->capture))
		capture_write(skb, p, NULL, EVENT_DROP, reason);
	return 0;
}

/* The end of a packet: counts, tells and drops it. */
RARE int drop(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
	__u32 direction;

	if (!p || reason >= DROP_REASON_MAX)
		return TC_ACT_SHOT;
	direction = p->direction;
	if (direction >= DIRECTIONS)
		direction = DIRECTION_UPLINK;
	count(direction, reason, skb->len);
	tell_drop(skb, p, reason);
	return TC_ACT_SHOT;
}
