/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs tell the daemon. */
#pragma once
#include <linux/pkt_cls.h>
#include "../abi/drop.h"
#include "../abi/event.h"
#include "../abi/policy.h"
#include "../map/event_budget.h"
#include "../map/events.h"
#include "../map/observers.h"
#include "metrics.h"
#include "../lib/packet.h"

#define SECOND 1000000000ULL

/* Takes an event of this type out of this CPU's budget, which it returns; NULL: none is left. */
STEP struct budget *event_allowed(__u32 type)
{
	__u32 rate = type == EVENT_TRACE || type == EVENT_LEARN ? EVENT_TRACES_RATE : EVENT_RATE;
	__u64 now = bpf_ktime_get_coarse_ns(), elapsed;
	struct budget *b = bpf_map_lookup_elem(&event_budget, &type);

	if (!b)
		return NULL;
	elapsed = now - b->refilled;
	if (elapsed >= SECOND) {
		b->left = rate;
		b->refilled = now;
	} else if (elapsed >= SECOND / 100) {
		__u32 left = b->left + elapsed * rate / SECOND;

		b->left = left < rate ? left : rate;
		b->refilled = now;
	}
	if (!b->left) {
		b->lost++;
		return NULL;
	}
	b->left--;
	return b;
}

/* Writes an event about the packet in hand, within the budget. Always 0. */
RARE int tell(struct __sk_buff *skb, struct packet *p, __u32 type, __u32 reason)
{
	struct budget *b;
	struct event *e;

	if (!p)
		return 0;
	b = event_allowed(type);
	if (!b)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		b->lost++; /* its reader is too slow */
		return 0;
	}
	e->time = bpf_ktime_get_ns();
	e->src = p->src;
	e->dst = p->dst;
	e->sport = p->sport;
	e->dport = p->dport;
	e->proto = p->proto;
	e->type = type;
	e->point = p->direction + 1;
	e->tcp_flags = p->tcp_flags;
	e->reason = reason;
	e->rule = p->rule;
	e->slot = p->slot;
	e->revision = p->revision;
	e->identity = p->peer_identity;
	e->length = skb->len;
	e->icmp_type = p->icmp_type;
	e->icmp_code = p->icmp_code;
	e->family = p->family;
	e->reply = p->reply;
	e->ifindex = skb->ifindex;
	e->frontend = p->frontend;
	e->side = p->side;
	e->judged = p->judged;
	e->cause = 0;
	e->opened = 0;
	e->sent = e->received = (struct counter){};
	e->dnat_addr = e->snat_addr = (struct ip){};
	e->dnat_port = e->snat_port = 0;
	__builtin_memset(e->pad, 0, sizeof(e->pad));
	bpf_ringbuf_submit(e, 0); /* wakes the reader only if it sleeps */
	return 0;
}

/* enum observer_flags of who listens now. */
STEP __u32 observed(void)
{
	__u32 zero = 0, *flags = bpf_map_lookup_elem(&observers, &zero);

	return flags ? *flags : 0;
}

/* Tells of a packet that says something new about its flow, if somebody listens. */
STEP void trace(struct __sk_buff *skb, struct packet *p)
{
	if (unlikely(p->news) && observed() & OBSERVER_TRACES)
		tell(skb, p, EVENT_TRACE, DROP_NONE);
}

/* Tells what a policy said of the packet: always when it denied, and to who learns, else if somebody listens. */
STEP void tell_judgement(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
	if (p->judgement & REVISION_AUDITED)
		tell(skb, p, EVENT_AUDIT, p->denied);
	else if (p->judged == JUDGED_DENIED || (p->judged && observed() & OBSERVER_ALLOWED))
		tell(skb, p, EVENT_VERDICT, reason);
	if (p->judgement & REVISION_LEARNED)
		tell(skb, p, EVENT_LEARN, p->denied);
}

/* A packet that passes: counts it, and traces it. */
STEP void pass(struct __sk_buff *skb, struct packet *p)
{
	if (unlikely(p->refused))
		return;
	count_forwarded(p->slot, p->direction, skb->len);
	trace(skb, p);
}

/* The end of a packet: counts, tells unless it is noise that every container makes, and drops it. */
RARE int drop(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
	__u32 direction;

	if (!p || reason >= DROP_REASON_MAX)
		return TC_ACT_SHOT;
	direction = p->direction;
	if (direction >= DIRECTIONS)
		direction = DIRECTION_UPLINK;
	count(direction, reason, skb->len);
	if (reason != DROP_MULTICAST)
		tell(skb, p, EVENT_DROP, reason);
	return TC_ACT_SHOT;
}
