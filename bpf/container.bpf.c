/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A container's programs: the two doors on its host-side veth, and the two programs behind them that judge what it
 * sends (egress) and what it is sent (ingress). Each entry function is the packet's path, one step a line. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "abi/config.h"
#include "map/egress_slots.h"
#include "step/antispoof.h"
#include "step/arp.h"
#include "step/event.h"
#include "step/flow.h"
#include "step/forward.h"
#include "step/fragment.h"
#include "step/icmp_error.h"
#include "step/multicast.h"
#include "step/nd.h"
#include "step/parse.h"
#include "step/policy.h"
#include "step/service.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The default, until Go puts the container's own policy here: a container reaches what it wants. */
RARE int policy_egress(struct policy_input *in)
{
	int answer = VERDICT_ALLOW;

	opaque(in); /* the callers must pass it to whatever replaces this */
	opaque(answer);
	return answer;
}

/* The default: open to its network, the host and the world, closed to other networks. */
RARE int policy_ingress(struct policy_input *in)
{
	int answer = in && in->class != CLASS_OTHER ? VERDICT_ALLOW : VERDICT_DENY;

	opaque(answer);
	return answer;
}

STEP void enter_door(struct __sk_buff *skb)
{
	skb->cb[0] = ORIGIN_STACK;
	skb->cb[1] = IDENTITY_UNKNOWN;
	skb->cb[2] = 0;
	skb->cb[3] = 0;
}

/* On tc ingress of the host-side veth: what the container sends. */
SEC("tc")
int door_from(struct __sk_buff *skb)
{
	enter_door(skb);
	bpf_tail_call(skb, &egress_slots, DOOR_SLOT);
	count(DIRECTION_EGRESS, DROP_NO_SLOT, skb->len);
	return TC_ACT_SHOT;
}

/* On tc egress of the host-side veth: what the host's stack sends to the container. */
SEC("tc")
int door_to(struct __sk_buff *skb)
{
	enter_door(skb);
	bpf_tail_call(skb, &ingress_slots, DOOR_SLOT);
	count(DIRECTION_INGRESS, DROP_NO_SLOT, skb->len);
	return TC_ACT_SHOT;
}

/* Finds the flow of a packet that the container sends. */
STEP struct flow *flow_of(struct packet *p, struct tuple *key, int *side)
{
	struct flow *f;

	*side = flow_tuple(p, key);
	f = flow_find(key);
	return f && flow_goes_on(f, p, *side) ? f : NULL;
}

/* What continues no flow may be for a frontend: it is translated, and its flow is that to the backend.
 * So a known flow that needs no translation costs no look-up for one. */
STEP int track_frontend(struct __sk_buff *skb, struct packet *p, struct translation *t, struct tuple *key, int *side,
			struct flow **f)
{
	int reason = service_translate(skb, p, t);

	if (reason || !t->flags)
		return reason;
	find_peer(p, &p->dst);
	*f = flow_of(p, key, side);
	return *f ? translation_merge(p, *f, t) : 0;
}

/* A packet of a known flow, or the first of a new one, as the container that sends it sees it. */
STEP int track_egress(struct __sk_buff *skb, struct packet *p, struct translation *t, struct flow **found)
{
	struct flow *f;
	struct tuple key = {};
	int side, reason = 0;

	f = flow_of(p, &key, &side);
	if (FEATURE_SERVICES && !f && p->peer_kind != PEER_CONTAINER)
		reason = track_frontend(skb, p, t, &key, &side, &f);
	if (reason)
		return reason;
	if (f) {
		*found = f;
		return p->reply ? judge_ingress(skb, p, f) : judge_egress(skb, p, f);
	}
	p->reply = 0;
	reason = refuse_untracked(p);
	if (!reason)
		reason = judge(skb, p, DIRECTION_EGRESS);
	if (!reason)
		reason = flow_enter(&key, p, t, side);
	if (!reason && p->peer_kind != PEER_CONTAINER)
		*found = flow_find(&key);
	return reason;
}

/* An ICMP error that the container sends. Its destination may be translated. */
STEP int relate_egress(struct __sk_buff *skb, struct packet *p)
{
	int reason = icmp_error_relate(skb, p, p->peer_kind != PEER_CONTAINER);

	find_peer(p, &p->dst);
	return reason;
}

/* A packet of a known flow, or the first of a new one, as the container that it is sent to sees it. */
STEP int track_ingress(struct __sk_buff *skb, struct packet *p)
{
	struct tuple key = {};
	int side, reason;
	struct flow *f;

	side = flow_tuple(p, &key);
	f = flow_find(&key);
	if (f && flow_goes_on(f, p, side)) {
		if (!p->reply)
			return judge_ingress(skb, p, f);
		reason = judge_egress(skb, p, f);
		if (!reason && unlikely(f->flags & FLOW_DNAT))
			reason = reply_untranslate(skb, p, f);
		return reason;
	}
	p->reply = 0;
	reason = refuse_untracked(p);
	if (!reason && FEATURE_MASQUERADE && p->peer_kind == PEER_WORLD) /* from_uplink enters the flows of published ports */
		reason = DROP_NOT_PUBLISHED;
	if (!reason)
		reason = judge(skb, p, DIRECTION_INGRESS);
	if (!reason)
		reason = flow_enter(&key, p, NULL, side);
	return reason;
}

/* Parses, and refuses what needs no table to be refused. 0 for IP, PARSED_ARP, PARSED_ND or the drop reason. */
RARE int receive(struct __sk_buff *skb, struct packet *p)
{
	int parsed, reason;

	if (!p)
		return DROP_INVALID;
	parsed = parse_frame(skb, p);
	if (parsed > 0)
		return parsed;
	reason = p->direction == DIRECTION_EGRESS ? antispoof_mac(skb) : 0;
	if (reason)
		return reason;
	if (parsed == PARSED_ARP || p->neighbour)
		return p->neighbour ? PARSED_ND : PARSED_ARP;
	reason = refuse_multicast(p);
	if (!reason && p->direction == DIRECTION_EGRESS)
		reason = antispoof_ip(p);
	return reason;
}

/* What the container sends. */
SEC("tc")
int egress(struct __sk_buff *skb)
{
	struct packet p = {.direction = DIRECTION_EGRESS};
	struct translation t = {};
	struct flow *f = NULL;
	int verdict, reason;

	reason = receive(skb, &p); /* 1, 2 */
	if (reason == PARSED_ARP || reason == PARSED_ND) {
		verdict = reason == PARSED_ND ? neighbour_from_container(skb, &p) : arp_from_container(skb);
		goto judged;
	}
	if (!reason && FEATURE_CLOSED) /* 3 */
		reason = DROP_CLOSED;
	if (!reason && unlikely(p.fragment))
		reason = fragment(&p);
	if (reason)
		goto dropped;
	look_up_peer(&p, &p.dst);
	if (p.icmp_error) /* 4 */
		reason = relate_egress(skb, &p);
	else
		reason = track_egress(skb, &p, &t, &f); /* 5 */
	if (reason)
		goto dropped;
	if (p.peer_kind == PEER_CONTAINER) { /* 6 */
		pass(skb, &p);
		reason = -to_container(skb, &p, f);
		goto dropped;
	}
	verdict = to_outside(skb, &p, f);
judged:
	if (verdict >= 0) {
		pass(skb, &p);
		return verdict;
	}
	reason = -verdict;
dropped:
	return drop(skb, &p, reason);
}

/* A packet of a flow of which the sender's program saw that this one has allowed it: nothing is left to judge. */
STEP int allowed_before(struct __sk_buff *skb)
{
	return !FEATURE_CLOSED && skb->cb[0] == ORIGIN_CONTAINER && skb->cb[3] == REVISION;
}

/* What the container is sent. */
SEC("tc")
int ingress(struct __sk_buff *skb)
{
	struct packet p = {.direction = DIRECTION_INGRESS};
	int verdict, reason;

	if (likely(allowed_before(skb))) { /* 0 */
		count_forwarded(SLOT, DIRECTION_INGRESS, skb->len);
		return bpf_redirect_peer(HOST_IFINDEX, 0);
	}

	p.origin = skb->cb[0];
	reason = receive(skb, &p); /* 1 */
	if (reason == PARSED_ARP || reason == PARSED_ND) {
		verdict = reason == PARSED_ND ? neighbour_to_container(&p) :
			  p.origin == ORIGIN_STACK ? TC_ACT_OK : -DROP_INVALID;
		goto judged;
	}
	if (!reason && FEATURE_CLOSED)
		reason = DROP_CLOSED;
	if (!reason && unlikely(p.fragment))
		reason = fragment(&p);
	if (reason)
		goto dropped;
	reason = find_sender(skb, &p); /* 2 */
	if (reason)
		goto dropped;
	if (p.icmp_error) /* 3 */
		reason = icmp_error_relate(skb, &p, 1);
	else
		reason = track_ingress(skb, &p);
	if (reason)
		goto dropped;
	verdict = deliver(&p); /* 4 */
judged:
	if (verdict >= 0) {
		pass(skb, &p);
		return verdict;
	}
	reason = -verdict;
dropped:
	return drop(skb, &p, reason);
}
