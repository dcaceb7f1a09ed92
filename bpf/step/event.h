/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs tell the daemon. */
#pragma once
#include <linux/pkt_cls.h>
#include "../abi/drop.h"
#include "../abi/event.h"
#include "../abi/policy.h"
#include "../lib/packet.h"
#include "../map/events.h"
#include "budget.h"
#include "metrics.h"

/* What the packet itself is. */
STEP void event_packet(struct event *e, const struct __sk_buff *skb, const struct packet *p)
{
	e->src = p->src;
	e->dst = p->dst;
	e->sport = p->sport;
	e->dport = p->dport;
	e->proto = p->proto;
	e->point = p->direction + 1;
	e->tcp_flags = p->tcp_flags;
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
}

/* What is known of its flow; f may be NULL. */
STEP void event_flow(struct event *e, const struct flow *f)
{
	e->opened = 0;
	e->sent = e->received = (struct counter){};
	e->dnat_addr = e->snat_addr = (struct ip){};
	e->dnat_port = e->snat_port = 0;
	if (!f)
		return;
	e->opened = f->opened;
	e->sent = f->sent;
	e->received = f->received;
	if (f->flags & FLOW_DNAT) {
		e->dnat_addr = f->dnat_addr;
		e->dnat_port = f->dnat_port;
	}
	if (f->flags & FLOW_SNAT) {
		e->snat_addr = f->snat_addr;
		e->snat_port = f->snat_port;
	}
}

STEP void event_fill(struct event *e, const struct __sk_buff *skb, const struct packet *p, const struct flow *f)
{
	e->time = bpf_ktime_get_ns();
	event_packet(e, skb, p);
	event_flow(e, f);
	__builtin_memset(e->pad, 0, sizeof(e->pad));
}

/* How full a ring is: 0 below a quarter, 1 below the half, else 2. */
STEP __u32 ring_fill(void *ring)
{
	__u64 quarter = bpf_ringbuf_query(ring, BPF_RB_RING_SIZE) >> 2, used = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);

	return (used >= quarter) + (used >= 2 * quarter);
}

/* How to submit a record: its reader comes by often, and is woken only if the ring fills faster. */
STEP __u64 ring_flags(__u32 fill)
{
	return fill ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

STEP __u32 event_class(const struct packet *p, __u32 type)
{
	if (type == EVENT_TRACE)
		return p->news == CAUSE_PACKET ? EVENTS_PACKETS : EVENTS_FLOWS;
	return type == EVENT_LEARN ? EVENTS_LEARN : EVENTS_DENIALS;
}

/* Writes an event about the packet in hand, whose flow f may be NULL, within the budget of its container. Always 0. */
RARE int tell(struct __sk_buff *skb, struct packet *p, struct flow *f, __u32 type, __u32 reason)
{
	struct event_budget *b;
	struct event *e;
	__u32 class, fill;

	if (!p)
		return 0;
	class = event_class(p, type);
	b = budget_of(p, class);
	if (!b)
		return 0;
	fill = ring_fill(&events);
	if (!budget_take(b, class, fill > 1)) {
		budget_lose(b);
		return 0;
	}
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		budget_lose(b); /* its reader is too slow */
		return 0;
	}
	event_fill(e, skb, p, f);
	e->type = type;
	e->reason = reason;
	e->cause = type == EVENT_TRACE ? p->news : 0;
	__sync_fetch_and_add(&b->written, 1);
	bpf_ringbuf_submit(e, ring_flags(fill));
	return 0;
}
