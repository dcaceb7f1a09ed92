/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From container to container on this host. */
#pragma once
#include <linux/pkt_cls.h>
#include "../abi/config.h"
#include "../abi/drop.h"
#include "../map/ingress_slots.h"
#include "peer.h"
#include "receiver.h"

/* Who sent what enters the container: the program that tail called says so, of the stack's packets the address does. */
STEP int find_sender(struct __sk_buff *skb, struct packet *p)
{
	if (p->origin == ORIGIN_STACK) {
		look_up_peer(p, &p->src);
		if (p->peer_kind == PEER_CONTAINER)
			return DROP_SPOOFED_UPLINK;
	} else {
		p->peer_identity = skb->cb[1];
		p->peer_network = skb->cb[2];
		p->peer_kind = p->origin == ORIGIN_CONTAINER ? PEER_CONTAINER : PEER_WORLD;
	}
	return FEATURE_INTERNAL && p->peer_kind == PEER_WORLD ? DROP_INTERNAL : 0;
}

/* A packet of a flow of which the program before saw that this one has allowed it: nothing is left to judge. One that is
 * news to this container's level says so in cb[0] and is told here, with cb[3] 0. */
STEP int allowed_before(struct __sk_buff *skb)
{
	return !FEATURE_RATE_INGRESS && LEVEL < LEVEL_PACKETS && !CAPTURE && skb->cb[0] != ORIGIN_STACK &&
	       skb->cb[3] == JUDGEMENT;
}

/* To a container of this host: its own ingress judges, and tells what this container's level does not. Answers only if it
 * is missing. */
STEP int to_container(struct __sk_buff *skb, struct packet *p, struct flow *f)
{
	int told = LEVEL >= LEVEL_FLOWS || !p->news;

	skb->cb[0] = ORIGIN_CONTAINER | (told ? 0 : p->news << ORIGIN_NEWS_SHIFT);
	skb->cb[1] = IDENTITY;
	skb->cb[2] = NETWORK;
	skb->cb[3] = told ? receivers_judgement(p, f, IDENTITY) : 0;
	bpf_tail_call(skb, &ingress_slots, p->peer_slot);
	return DROP_NO_SLOT;
}
