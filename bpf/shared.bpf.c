/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs of all containers share: loaded once, reached by tail call with the packet in hand (step/hand.h).
 * Some give it back to the container's program, which goes on with what they found; the others are the end of its path. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "abi/host.h"
#include "map/ingress_slots.h"
#include "step/antispoof.h"
#include "step/arp.h"
#include "step/deliver.h"
#include "step/fate.h"
#include "step/flow.h"
#include "step/fragment.h"
#include "step/hand.h"
#include "step/icmp_error.h"
#include "step/leave.h"
#include "step/multicast.h"
#include "step/nd.h"
#include "step/parse_far.h"
#include "step/peer.h"
#include "step/receiver.h"
#include "step/service.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The end of a packet's path: verdict is the TC action, or the negative drop reason. Its flow f is NULL if it has none. */
STEP int finish(struct __sk_buff *skb, struct hand *h, struct flow *f, int verdict)
{
	if (verdict < 0)
		return drop(skb, &h->packet, -verdict);
	pass(skb, h, f);
	return verdict;
}

/* Back to the container's program, or the end for a reason. */
STEP int go_on(struct __sk_buff *skb, struct hand *h, int reason, __u8 stage)
{
	if (!reason) {
		hand_back(skb, h, stage);
		reason = DROP_NO_SLOT;
	}
	return drop(skb, &h->packet, reason);
}

STEP struct flow *flow_in_hand(struct hand *h)
{
	struct tuple key = {};

	flow_tuple(&h->packet, &key);
	return flow_find(&key);
}

/* SHARED_PARSE: headers that the container's program does not read itself. */
SEC("tc")
int shared_parse(struct __sk_buff *skb)
{
	struct hand *h = hand_open();

	return h ? go_on(skb, h, parse_far(skb, &h->packet), STAGE_PARSED) : TC_ACT_SHOT;
}

/* SHARED_FRAGMENT: the ports of a later fragment. */
SEC("tc")
int shared_fragment(struct __sk_buff *skb)
{
	struct hand *h = hand_open();

	return h ? go_on(skb, h, fragment(&h->packet), STAGE_FRAGMENT) : TC_ACT_SHOT;
}

/* SHARED_TRANSLATE: the backend of a packet that goes to a frontend, and continues a flow to it or opens one. */
SEC("tc")
int shared_translate(struct __sk_buff *skb)
{
	struct hand *h = hand_open();
	struct tuple key = {};
	struct flow *f;
	int reason, side;

	if (!h)
		return TC_ACT_SHOT;
	reason = service_translate(skb, h);
	if (!reason && h->translation.flags) {
		f = flow_of(&h->packet, &key, &side);
		if (f)
			reason = translation_merge(&h->packet, f, &h->translation);
	}
	return go_on(skb, h, reason, STAGE_TRANSLATED);
}

/* ARP or neighbour discovery. The TC action, or the negative drop reason. */
STEP int neighbour(struct __sk_buff *skb, struct hand *h)
{
	struct packet *p = &h->packet;

	if (p->direction == DIRECTION_EGRESS)
		return p->neighbour ? neighbour_from_container(skb, p, &h->container) :
				      arp_from_container(skb, &h->container);
	if (p->neighbour)
		return neighbour_to_container(p);
	return p->origin == ORIGIN_STACK ? TC_ACT_OK : -DROP_INVALID;
}

/* SHARED_NEIGHBOUR */
SEC("tc")
int shared_neighbour(struct __sk_buff *skb)
{
	struct hand *h = hand_open();

	return h ? finish(skb, h, NULL, neighbour(skb, h)) : TC_ACT_SHOT;
}

/* To a container of this host, as egress sends it on: what this container's level does not tell, the other is to. */
STEP int relay(struct __sk_buff *skb, struct hand *h, struct flow *f)
{
	__u32 news = h->packet.level < LEVEL_FLOWS ? h->packet.news : 0;

	pass(skb, h, f);
	skb->cb[0] = ORIGIN_CONTAINER | news << ORIGIN_NEWS_SHIFT;
	skb->cb[1] = h->container.identity;
	skb->cb[2] = h->container.network;
	skb->cb[3] = news ? 0 : receivers_judgement(&h->packet, f, h->container.identity);
	bpf_tail_call(skb, &ingress_slots, h->packet.peer_slot);
	return drop(skb, &h->packet, DROP_NO_SLOT);
}

/* SHARED_RELATE: an ICMP error, in either direction. That a container sends may have a translated destination. */
SEC("tc")
int shared_relate(struct __sk_buff *skb)
{
	struct hand *h = hand_open();
	struct packet *p;
	int reason;

	if (!h)
		return TC_ACT_SHOT;
	p = &h->packet;
	if (p->direction == DIRECTION_INGRESS) {
		reason = icmp_error_relate(skb, p, 1);
		return finish(skb, h, NULL, reason ? -reason : deliver(p, h->container.ifindex));
	}
	reason = icmp_error_relate(skb, p, p->peer_kind != PEER_CONTAINER);
	if (reason)
		return drop(skb, p, reason);
	look_up_peer(p, &p->dst);
	if (p->peer_kind == PEER_CONTAINER)
		return relay(skb, h, NULL);
	return finish(skb, h, NULL, to_outside(skb, h, NULL));
}

/* What a container's program does with a packet of flow f that it has judged, and more: what it sends may leave the host,
 * what it is sent may be a reply from behind a frontend. */
STEP int onward(struct __sk_buff *skb, struct hand *h, struct flow *f)
{
	struct packet *p = &h->packet;
	int reason;

	tell_watched(skb, p);
	if (!f)
		return drop(skb, p, DROP_FLOW_TABLE);
	if (p->news || p->capture)
		h->seen = *p;
	if (p->direction == DIRECTION_INGRESS) {
		reason = h->container.rate_ingress ? rate_charge(skb, p, 0) : 0;
		if (!reason && p->reply)
			reason = reply_untranslate(skb, p, f);
		return finish(skb, h, f, reason ? -reason : deliver(p, h->container.ifindex));
	}
	if (h->container.rate_egress && p->peer_kind != PEER_WORLD) { /* else to_outside knows whether it may wait */
		reason = rate_charge(skb, p, 0);
		if (reason)
			return drop(skb, p, reason);
	}
	if (p->peer_kind == PEER_CONTAINER && !(f->flags & FLOW_HAIRPIN && p->reply))
		return relay(skb, h, f);
	return finish(skb, h, f, to_outside(skb, h, f));
}

/* SHARED_ONWARD */
SEC("tc")
int shared_onward(struct __sk_buff *skb)
{
	struct hand *h = hand_open();

	return h ? onward(skb, h, flow_in_hand(h)) : TC_ACT_SHOT;
}

/* SHARED_OPEN: the first packet of a flow. */
SEC("tc")
int shared_open(struct __sk_buff *skb)
{
	struct hand *h = hand_open();
	struct tuple key = {};
	int side;

	if (!h)
		return TC_ACT_SHOT;
	side = flow_tuple(&h->packet, &key);
	flow_enter(skb, &key, &h->packet, &h->translation, side);
	return onward(skb, h, flow_find(&key));
}

/* SHARED_DROP */
SEC("tc")
int shared_drop(struct __sk_buff *skb)
{
	struct hand *h = hand_open();

	return h ? drop(skb, &h->packet, h->reason) : TC_ACT_SHOT;
}

/* SHARED_CLOSED: the container's labels are not known yet. */
SEC("tc")
int shared_closed(struct __sk_buff *skb)
{
	struct hand *h = hand_open();
	struct container *c;
	struct packet *p;
	int parsed, reason;

	if (!h)
		return TC_ACT_SHOT;
	p = &h->packet;
	c = &h->container;
	parsed = parse(skb, p);
	reason = parsed > 0 ? parsed : 0;
	if (!reason && p->direction == DIRECTION_EGRESS)
		reason = antispoof_mac(skb, c->mac);
	if (!reason && (parsed == PARSED_ARP || p->neighbour))
		return finish(skb, h, NULL, neighbour(skb, h));
	if (!reason)
		reason = refuse_multicast(p, c->subnet4, c->subnet4_bits);
	return drop(skb, p, reason ?: DROP_CLOSED);
}
