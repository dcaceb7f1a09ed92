/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connection tracking: one entry a connection, found by one normalised tuple from both sides. */
#pragma once
#include "../lib/icmp.h"
#include <linux/in.h>
#include <linux/in6.h>
#include "../abi/drop.h"
#include "../abi/event.h"
#include "../lib/bytes.h"
#include "../map/flows_any.h"
#include "../map/flows_tcp.h"
#include "../lib/packet.h"
#include "../map/flow_scratch.h"
#include "../map/settings.h"

#define FLOW_SHORT FLOW_SECONDS(10)

STEP __u32 flow_now(void)
{
	return bpf_ktime_get_coarse_ns() >> 30;
}

#define FLOW_TICK ((__u32)(bpf_jiffies64() >> 8)) /* 0.25 to 2.5 s */

STEP int source_is_lo(const struct packet *p)
{
	if (ip_half(&p->src, 0) != ip_half(&p->dst, 0))
		return ip_half(&p->src, 0) < ip_half(&p->dst, 0);
	if (ip_half(&p->src, 1) != ip_half(&p->dst, 1))
		return ip_half(&p->src, 1) < ip_half(&p->dst, 1);
	return bpf_ntohs(p->sport) <= bpf_ntohs(p->dport);
}

/* Fills key. Answers FLOW_INITIATOR_LO if the packet's source is key->lo, else 0. */
RARE int flow_tuple(struct packet *p, struct tuple *key)
{
	if (!p || !key)
		return 0;
	key->proto = p->proto;
	key->pad[0] = key->pad[1] = key->pad[2] = 0;
	if (source_is_lo(p)) {
		key->lo = p->src;
		key->hi = p->dst;
		key->lo_port = p->sport;
		key->hi_port = p->dport;
		return FLOW_INITIATOR_LO;
	}
	key->lo = p->dst;
	key->hi = p->src;
	key->lo_port = p->dport;
	key->hi_port = p->sport;
	return 0;
}

STEP struct flow *flow_find(const struct tuple *key)
{
	if (key->proto == IPPROTO_TCP)
		return bpf_map_lookup_elem(&flows_tcp, key);
	return bpf_map_lookup_elem(&flows_any, key);
}

STEP int flow_closed(__u32 flags)
{
	return flags & FLOW_RESET || (flags & FLOW_FIN_INITIATOR && flags & FLOW_FIN_RESPONDER);
}

STEP __u32 flow_timeout(__u32 flags, __u8 proto)
{
	if (proto != IPPROTO_TCP)
		return flags & FLOW_REPLIED ? FLOW_SECONDS(180) : FLOW_SECONDS(60);
	if (flow_closed(flags))
		return FLOW_SHORT;
	return flags & FLOW_ESTABLISHED ? FLOW_SECONDS(8000) : FLOW_SECONDS(60);
}

STEP __u32 flow_tcp_flags(const struct packet *p, __u32 flags)
{
	/* By shifts: every branch doubles what the verifier walks. */
	flags |= (p->tcp_flags & TCP_RST) * (FLOW_RESET / TCP_RST);
	flags |= (p->tcp_flags & TCP_FIN) * FLOW_FIN_INITIATOR << (p->reply & 1);
	if (!p->reply && flags & FLOW_REPLIED && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_ACK)
		flags |= FLOW_ESTABLISHED;
	return flags;
}

/* How many packets it becomes on the wire; without a branch: gso_segs is 0 of one that is not to be cut. */
STEP __u64 segments(const struct __sk_buff *skb)
{
	__u64 n = skb->gso_segs;

	return n + ((n - 1) >> 63);
}

/* Counts a packet of a flow so many times, 0 or 1. Nothing waits for the additions, and the other direction's counter is in
 * another cache line. */
STEP void flow_count(const struct __sk_buff *skb, struct flow *f, __u32 reply, __u64 times)
{
	struct counter *c = (void *)&f->sent + (reply & 1) * (offsetof(struct flow, received) - offsetof(struct flow, sent));

	__sync_fetch_and_add(&c->packets, segments(skb) * times);
	__sync_fetch_and_add(&c->bytes, skb->len * times);
}

/* How long nothing is told of a flow that goes on, as flow.last. */
STEP __u32 flow_interval(void)
{
	__u32 zero = 0;
	struct settings *s = bpf_map_lookup_elem(&settings, &zero);

	return s ? s->flow_interval : 0;
}

/* Why a packet is worth telling that brings a flow from the flags before to those after: enum event_cause. That a handshake
 * is complete is not: its first two packets were told. */
STEP __u32 flow_causes(struct flow *f, __u32 before, __u32 after, __u32 now)
{
	__u32 told = f->told, changed = after & ~before;

	if (flow_closed(before))
		return 0;
	if (changed & (FLOW_REPLIED | FLOW_FIN_INITIATOR | FLOW_FIN_RESPONDER | FLOW_RESET)) {
		f->told = now;
		return flow_closed(after) ? CAUSE_CLOSED : CAUSE_STATE;
	}
	if (now - told < flow_interval() || __sync_val_compare_and_swap(&f->told, told, now) != told)
		return 0;
	return CAUSE_TIME;
}

/* Takes the packet into a flow that was found: sets p->reply and p->news, and keeps time and state. side is flow_tuple's
 * answer. 0: the flow is expired, or over and the packet opens another. The entry is written only when it changes: it
 * is shared by two processors. */
RARE int flow_continue(struct flow *f, struct packet *p, __u32 side)
{
	__u32 now = flow_now(), flags, after;

	if (!f || !p)
		return 0;
	flags = f->flags;
	p->reply = (flags & FLOW_INITIATOR_LO) != side;
	if (unlikely(now - f->last >= FLOW_SHORT) && now - f->last > flow_timeout(flags, p->proto))
		return 0;
	if ((p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN && flow_closed(flags))
		return 0;
	after = flags;
	if (p->reply)
		after |= FLOW_REPLIED;
	if (p->proto == IPPROTO_TCP)
		after = flow_tcp_flags(p, after);
	if (f->tick != FLOW_TICK)
		f->tick = FLOW_TICK;
	if (after == flags && now == f->last)
		return 1;
	if (after != flags) {
		flags = __sync_fetch_and_or(&f->flags, after & ~flags); /* one of two processors sees that it was first */
		after |= flags;
	}
	f->last = now;
	p->news |= flow_causes(f, flags, after, now);
	return 1;
}

/* Likewise, without a call for the packets that change nothing: those of a flow that was seen this tick, and whose state
 * they leave as it is. */
STEP int flow_goes_on(struct flow *f, struct packet *p, __u32 side)
{
	__u32 flags = f->flags;
	int reply = (flags & FLOW_INITIATOR_LO) != side;

	if (unlikely(f->tick != FLOW_TICK || p->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST) ||
		     (reply && !(flags & FLOW_REPLIED)) || (p->proto == IPPROTO_TCP && !(flags & FLOW_ESTABLISHED))))
		return flow_continue(f, p, side);
	p->reply = reply;
	return 1;
}

/* Finds the flow of a packet, and takes the packet into it. key and side are for flow_enter. NULL: it continues none. */
STEP struct flow *flow_of(struct packet *p, struct tuple *key, int *side)
{
	struct flow *f;

	*side = flow_tuple(p, key);
	f = flow_find(key);
	return f && flow_goes_on(f, p, *side) ? f : NULL;
}

/* A packet that only makes sense within a flow opens none. */
STEP int refuse_untracked(const struct packet *p)
{
	if (p->proto == IPPROTO_TCP)
		return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) ? DROP_NOT_TRACKED : 0;
	if (p->proto == IPPROTO_ICMP)
		return p->icmp_type == ICMP_ECHOREPLY ? DROP_NOT_TRACKED : 0;
	if (p->proto == IPPROTO_ICMPV6)
		return p->icmp_type == ICMPV6_ECHO_REPLY ? DROP_NOT_TRACKED : 0;
	return 0;
}

/* A flow that begins now, to be entered. NULL does not happen, but for the verifier. */
STEP struct flow *flow_blank(void)
{
	__u32 zero = 0;
	struct flow *f = bpf_map_lookup_elem(&flow_scratch, &zero);

	if (!f)
		return NULL;
	__builtin_memset(f, 0, sizeof(*f));
	f->last = f->told = flow_now();
	f->opened = bpf_ktime_get_ns();
	return f;
}

/* Enters a flow that the packet's source opens, judged by this program. t may be NULL. What comes in by an uplink is counted
 * by the container's program. 0 or the drop reason. */
RARE int flow_enter(struct __sk_buff *skb, struct tuple *key, struct packet *p, struct translation *t, __u32 side)
{
	struct flow *f = flow_blank();
	struct tuple k; /* keys must lie on the stack before Linux 6.2 */
	long err;

	if (!key || !p || !f)
		return DROP_FLOW_TABLE;
	k = *key;
	p->news |= CAUSE_NEW;
	if (p->direction != DIRECTION_UPLINK) {
		f->sent.packets = segments(skb);
		f->sent.bytes = skb->len;
	}
	f->tick = FLOW_TICK;
	f->flags = side & FLOW_INITIATOR_LO;
	if (p->proto == IPPROTO_TCP && !(p->tcp_flags & TCP_SYN)) /* begun before it was seen: a restart must not cut */
		f->flags |= FLOW_REPLIED | FLOW_ESTABLISHED;
	if (p->proto == IPPROTO_TCP)
		f->flags = flow_tcp_flags(p, f->flags);
	if (p->direction == DIRECTION_EGRESS) {
		f->egress_revision = p->judgement;
		f->egress_peer = p->peer_identity;
	} else {
		f->ingress_revision = p->judgement;
		f->ingress_peer = p->peer_identity;
	}
	if (t && t->flags) {
		f->flags |= t->flags;
		f->dnat_addr = t->dnat_addr;
		f->dnat_port = t->dnat_port;
	}
	if (k.proto == IPPROTO_TCP)
		err = bpf_map_update_elem(&flows_tcp, &k, f, BPF_ANY);
	else
		err = bpf_map_update_elem(&flows_any, &k, f, BPF_ANY);
	return err ? DROP_FLOW_TABLE : 0;
}
