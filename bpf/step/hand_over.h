/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A container's program takes a packet in hand, and gives it to a shared program. */
#pragma once
#include "../abi/config.h"
#include "../lib/bytes.h"
#include "../map/shared_slots.h"
#include "capture.h"
#include "hand.h"

/* The hand of a container's program: emptied for a packet that is new to it, as it is for one that a shared program of
 * its own version gives back, which skb->cb[4] says. */
STEP struct hand *hand_take(struct __sk_buff *skb, __u8 direction)
{
	struct hand *h = hand_open();
	struct packet *p;

	if (!h)
		return NULL;
	p = &h->packet;
	if (likely(skb->cb[4] != VERSION)) {
		__builtin_memset(p, 0, sizeof(*p));
		h->translation.flags = 0;
		p->direction = direction;
		if (CAPTURE && direction == DIRECTION_EGRESS)
			capture_keep(skb, CAPTURE);
	} else {
		skb->cb[4] = 0;
	}
	p->slot = SLOT;
	p->revision = REVISION;
	return h;
}

/* Tells the shared programs whose the packet is. */
RARE int hand_fill(struct hand *h)
{
	struct container *c;

	if (!h)
		return 0;
	h->packet.level = LEVEL;
	h->packet.capture = CAPTURE;
	if (LEVEL >= LEVEL_PACKETS)
		h->packet.news |= CAUSE_PACKET;
	c = &h->container;
	c->mac = CONTAINER_MAC;
	c->host_mac = HOST_MAC;
	ip_from_constant(&c->address6, &ADDRESS6);
	ip_from_constant(&c->gateway6, &GATEWAY6);
	ip_from_constant(&c->subnet6, &SUBNET6);
	c->address4 = ADDRESS4.w[3];
	c->gateway4 = GATEWAY4.w[3];
	c->subnet4 = SUBNET4.w[3];
	c->identity = IDENTITY;
	c->network = NETWORK;
	c->ifindex = HOST_IFINDEX;
	c->subnet4_bits = SUBNET4_BITS;
	c->subnet6_bits = SUBNET6_BITS;
	c->ipv4 = FEATURE_IPV4;
	c->ipv6 = FEATURE_IPV6;
	c->internal = FEATURE_INTERNAL;
	c->masquerade = FEATURE_MASQUERADE;
	c->rate_egress = FEATURE_RATE_EGRESS;
	c->rate_ingress = FEATURE_RATE_INGRESS;
	return 0;
}

/* Lets a shared program go on. Returns only if it is missing. */
STEP void hand_over(struct __sk_buff *skb, struct hand *h, __u32 to)
{
	hand_fill(h);
	bpf_tail_call(skb, &shared_slots, to);
}
