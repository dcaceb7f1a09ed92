/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors belong to the flow that their inner packet names (RFC 792, RFC 4443; translation: RFC 5508). */
#pragma once
#include "../abi/drop.h"
#include "flow.h"
#include "frontend.h"
#include "inner.h"
#include "../lib/packet.h"

STEP int inner_tuple(const struct inner *in, struct tuple *key)
{
	return tuple_of_ends(key, &in->src, in->sport, &in->dst, in->dport, in->proto);
}

/* The error is about a packet as the far side of a translation saw it: its sender, inside and as destination of the
 * error, becomes the container with that address and port. 0 or the drop reason. */
STEP int icmp_error_enter(struct __sk_buff *skb, struct packet *p, struct inner *in, const struct ip *addr,
			  __be16 port)
{
	int reason;

	in->new_addr = *addr;
	in->new_port = port;
	reason = inner_rewrite(skb, p, in, END_SOURCE);
	in->src = in->new_addr;
	in->sport = in->new_port;
	if (in->proto == IPPROTO_ICMP || in->proto == IPPROTO_ICMPV6)
		in->dport = in->new_port;
	return reason ?: rewrite(skb, p, END_DESTINATION, &in->new_addr, 0);
}

/* The error is about a packet of flow f as the container saw it, and its sender saw other addresses: gives the inner
 * destination the address that the sender used, and the error too if it comes from there. */
STEP int icmp_error_leave(struct __sk_buff *skb, struct packet *p, struct inner *in, struct flow *f, int sender_is_lo)
{
	int to_initiator = !!(f->flags & FLOW_INITIATOR_LO) == sender_is_lo;
	int reason;

	if (!(f->flags & (to_initiator ? FLOW_DNAT : FLOW_SNAT)))
		return 0;
	in->new_addr = to_initiator ? f->dnat_addr : f->snat_addr;
	in->new_port = to_initiator ? f->dnat_port : f->snat_port;
	reason = inner_rewrite(skb, p, in, END_DESTINATION);
	if (reason || !ip_equal(&p->src, &in->dst))
		return reason;
	return rewrite(skb, p, END_SOURCE, &in->new_addr, 0);
}

/* An ICMP error that a container sends about a reply that came from a frontend: its destination, inside and outside,
 * becomes the backend, whose flow the error must belong to. 0 or the drop reason. */
STEP int icmp_error_to_backend(struct __sk_buff *skb, struct packet *p, struct inner *in, struct tuple *key)
{
	struct nat *n = bpf_map_lookup_elem(&nat, key);
	struct service *s;
	int reason;

	if (n && n->flags & NAT_DESTINATION) {
		reason = icmp_error_enter(skb, p, in, &n->addr, n->port);
	} else {
		s = frontend_find(&in->src, in->sport, in->proto, p->peer_kind == PEER_HOST);
		if (!s)
			return DROP_ICMP_UNRELATED;
		reason = icmp_error_enter(skb, p, in, &s->backend, s->port);
	}
	if (reason)
		return reason;
	inner_tuple(in, key);
	return flow_find(key) ? 0 : DROP_ICMP_UNRELATED;
}

/* Accepts an ICMP error (p->icmp_error) whose inner packet is of a known flow. If leave, the packet goes to a
 * namespace, the host or the world next, and not to a tail call: the flow's translation is then undone in the outer
 * and the inner header (inner checksums included). 0 or the drop reason (ICMP_UNRELATED). */
RARE int icmp_error_relate(struct __sk_buff *skb, struct packet *p, int leave)
{
	struct tuple key = {};
	struct inner in = {};
	struct flow *f;
	int lo, reason;

	if (!p)
		return DROP_INVALID;
	if (p->fragment)
		return DROP_ICMP_UNRELATED;
	reason = inner_parse(skb, p, &in);
	if (reason)
		return reason;
	if (!ip_equal(&in.src, &p->dst)) /* an error goes to the sender of what it is about */
		return DROP_ICMP_UNRELATED;
	lo = inner_tuple(&in, &key);
	f = flow_find(&key);
	if (!f && p->direction == DIRECTION_EGRESS)
		return icmp_error_to_backend(skb, p, &in, &key);
	if (!f)
		return DROP_ICMP_UNRELATED;
	return leave ? icmp_error_leave(skb, p, &in, f, lo) : 0;
}
