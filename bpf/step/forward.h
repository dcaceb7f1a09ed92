/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the packet goes. */
#pragma once
#include <linux/pkt_cls.h>
#include "../abi/config.h"
#include "../abi/drop.h"
#include "../map/endpoints.h"
#include "../map/ingress_slots.h"
#include "arp.h"
#include "masquerade.h"
#include "metrics.h"
#include "nd.h"
#include "packet.h"
#include "unreachable.h"

/* Says who has an address: fills p->peer_*. */
STEP void look_up_peer(struct packet *p, const struct ip *addr)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, addr);

	if (!e) {
		p->peer_kind = PEER_WORLD;
		p->peer_identity = IDENTITY_WORLD;
		p->peer_network = 0;
		return;
	}
	p->peer_kind = e->flags & ENDPOINT_HOST ? PEER_HOST : PEER_CONTAINER;
	p->peer_identity = e->identity;
	p->peer_network = e->network;
	p->peer_slot = e->slot;
}

/* Likewise, for packets that are not in a hurry. */
RARE int find_peer(struct packet *p, struct ip *addr)
{
	struct ip key; /* keys must lie on the stack before Linux 6.2 */

	if (p && addr) {
		key = *addr;
		look_up_peer(p, &key);
	}
	return 0;
}

/* Who sent what enters the container: the program that tail called says so, of the stack's packets the address does. */
STEP int find_sender(struct __sk_buff *skb, struct packet *p)
{
	if (p->origin == ORIGIN_STACK) {
		find_peer(p, &p->src);
		if (p->peer_kind == PEER_CONTAINER)
			return DROP_SPOOFED_UPLINK;
	} else {
		p->peer_identity = skb->cb[1];
		p->peer_network = skb->cb[2];
		p->peer_kind = p->origin == ORIGIN_CONTAINER ? PEER_CONTAINER : PEER_WORLD;
	}
	return FEATURE_INTERNAL && p->peer_kind == PEER_WORLD ? DROP_INTERNAL : 0;
}

/* Whether the destination is on the container's own subnet. */
RARE int on_subnet(struct packet *p)
{
	if (!p)
		return 0;
	return p->family == 4 ? on_subnet4(p->dst.w[3]) : on_subnet6(&p->dst);
}

/* The receiver's revision under which its program allowed the flow with this sender; 0 if it must look itself, because
 * it did not, or because the packet is translated back, a fragment that it must remember, or worth a trace. */
STEP __u32 receivers_judgement(const struct packet *p, const struct flow *f)
{
	if (!f || p->news || p->fragment || f->flags & (FLOW_DNAT | FLOW_SNAT | FLOW_HAIRPIN))
		return 0;
	if (p->reply)
		return f->egress_peer == IDENTITY ? f->egress_revision : 0;
	return f->ingress_peer == IDENTITY ? f->ingress_revision : 0;
}

/* To a container of this host: its own ingress judges. Answers only if that is missing. */
STEP int to_container(struct __sk_buff *skb, struct packet *p, struct flow *f)
{
	skb->cb[0] = ORIGIN_CONTAINER;
	skb->cb[1] = IDENTITY;
	skb->cb[2] = NETWORK;
	skb->cb[3] = receivers_judgement(p, f);
	bpf_tail_call(skb, &ingress_slots, p->peer_slot);
	return -DROP_NO_SLOT;
}

/* A reply of the container to itself, which it reached by a frontend. */
STEP int to_itself(struct __sk_buff *skb, struct packet *p, struct flow *f)
{
	int reason = reply_untranslate(skb, p, f);

	return reason ? -reason : bpf_redirect_peer(HOST_IFINDEX, 0);
}

/* To whatever is no container: the host, nobody, or the world. f is NULL for ICMP errors. */
STEP int to_outside(struct __sk_buff *skb, struct packet *p, struct flow *f)
{
	if (!p)
		return -DROP_INVALID;
	if (FEATURE_SERVICES && f && p->reply && f->flags & FLOW_HAIRPIN)
		return to_itself(skb, p, f);
	if (p->peer_kind == PEER_HOST)
		return TC_ACT_OK;
	if (on_subnet(p))
		return send_icmp_error(skb, p, ANSWER_HOST_UNREACHABLE, 0);
	if (FEATURE_INTERNAL)
		return -DROP_INTERNAL;
	return masquerade_and_leave(skb, p, f);
}

/* Into the container of this program. */
STEP int deliver(const struct packet *p)
{
	if (p->origin == ORIGIN_STACK)
		return TC_ACT_OK;
	return bpf_redirect_peer(HOST_IFINDEX, 0);
}
