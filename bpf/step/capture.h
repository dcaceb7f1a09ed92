/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets of captured containers, with their bytes. */
#pragma once
#include "../lib/packet.h"
#include "../map/capture_scratch.h"
#include "../map/captures.h"
#include "event.h"

STEP struct capture_scratch *capture_open(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&capture_scratch, &zero);
}

/* Copies the packet's first bytes, at most so many. */
STEP void capture_frame(struct __sk_buff *skb, struct capture_scratch *s, __u32 most)
{
	__u64 length = skb->len;

	s->head.length = length;
	s->head.captured = 0;
	if (length > most)
		length = most;
	length--; /* so that the verifier sees it is above 0, and in this very register */
	opaque(length);
	if (length >= CAPTURE_MAX)
		return;
	length++;
	opaque(length);
	if (!bpf_skb_load_bytes(skb, 0, s->frame, length))
		s->head.captured = length;
}

/* Keeps what a container sends as it is, before anybody changes it. */
STEP void capture_keep(struct __sk_buff *skb, __u32 most)
{
	struct capture_scratch *s = capture_open();

	if (s)
		capture_frame(skb, s, most);
}

/* Writes the record of a packet's fate. Always 0. */
RARE int capture_write(struct __sk_buff *skb, struct packet *p, struct flow *f, __u32 type, __u32 reason)
{
	struct capture_scratch *s = capture_open();
	struct event_budget *b;
	__u64 length;

	if (!p || !s)
		return 0;
	b = budget_of(p, EVENTS_CAPTURES);
	if (!b)
		return 0;
	if (p->direction != DIRECTION_EGRESS)
		capture_frame(skb, s, p->capture);
	event_fill(&s->head.event, skb, p, f);
	s->head.event.type = type;
	s->head.event.reason = reason;
	s->head.event.cause = CAUSE_PACKET;
	length = s->head.captured;
	opaque(length);
	if (length > CAPTURE_MAX)
		return 0;
	if (bpf_ringbuf_output(&captures, s, sizeof(s->head) + length, ring_flags(ring_fill(&captures))))
		budget_lose(b);
	else
		__sync_fetch_and_add(&b->written, 1);
	return 0;
}
