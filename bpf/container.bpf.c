/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A container's programs: the two doors on its host-side veth, and the two programs behind them that judge what it
 * sends (egress) and what it is sent (ingress). Each entry function is the packet's path, one step a line. What does not
 * depend on the container's policy and is not the way between containers is in shared.bpf.c: these programs are loaded
 * for every container and every change of a policy, and the verifier walks whatever is in them. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "abi/config.h"
#include "map/egress_slots.h"
#include "step/antispoof.h"
#include "step/antispoof_ip.h"
#include "step/deliver.h"
#include "step/explain.h"
#include "step/forward.h"
#include "step/hand_over.h"
#include "step/multicast.h"
#include "step/parse.h"
#include "step/rate.h"
#include "step/track.h"

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

/* The default: whoever ingress admits. */
RARE int policy_publish(struct policy_input *in)
{
	int answer = VERDICT_ALLOW;

	opaque(in);
	opaque(answer);
	return answer;
}

STEP void enter_door(struct __sk_buff *skb)
{
	skb->cb[0] = ORIGIN_STACK;
	skb->cb[1] = IDENTITY_UNKNOWN;
	skb->cb[2] = 0;
	skb->cb[3] = 0;
	skb->cb[4] = 0;
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

/* Parses, and refuses what needs no table to be refused. 0, the drop reason, or the negative enum shared of the program
 * that knows more. */
STEP int receive(struct __sk_buff *skb, struct packet *p, enum direction direction)
{
	int reason, parsed = 0;

	if (p->stage >= STAGE_FRAGMENT)
		return 0;
	if (likely(p->stage == STAGE_NEW))
		parsed = parse_frame(skb, p);
	if (unlikely(parsed == PARSED_FAR))
		return -SHARED_PARSE;
	if (parsed > 0)
		return parsed;
	reason = direction == DIRECTION_EGRESS ? antispoof_mac(skb, CONTAINER_MAC) : 0;
	if (reason)
		return reason;
	if (unlikely(parsed == PARSED_ARP || p->neighbour))
		return -SHARED_NEIGHBOUR;
	reason = refuse_multicast(p, SUBNET4.w[3], SUBNET4_BITS);
	if (!reason && direction == DIRECTION_EGRESS)
		reason = antispoof_ip(p);
	if (!reason && unlikely(p->fragment))
		return -SHARED_FRAGMENT;
	return reason;
}

/* A packet that goes no further in this program: a shared program goes on, that which a negative reason names. A question is
 * answered here. */
STEP int give_up(struct __sk_buff *skb, struct hand *h, int reason)
{
	int goes_on;

	/* By way of the map, the verifier forgets which of many numbers it is, and walks what follows once. */
	*(volatile int *)&h->reason = reason;
	reason = *(volatile int *)&h->reason;
	if (unlikely(is_question(skb)) && reason >= 0)
		return answer_question(skb, &h->packet, reason);
	goes_on = reason >> 31;
	hand_over(skb, h, (-reason & goes_on) | (SHARED_DROP & ~goes_on));
	count(h->packet.direction & 1, DROP_NO_SHARED, skb->len);
	return TC_ACT_SHOT;
}

/* What the container sends. */
SEC("tc")
int egress(struct __sk_buff *skb)
{
	struct hand *h = hand_take(skb, DIRECTION_EGRESS);
	struct flow *f = NULL;
	struct packet *p;
	int reason;

	if (!h)
		return TC_ACT_SHOT;
	p = &h->packet;
	reason = receive(skb, p, DIRECTION_EGRESS); /* 1 */
	if (reason)
		goto out;
	look_up_peer(p, &p->dst); /* 2 */
	if (unlikely(is_question(skb))) {
		reason = explain_egress(p);
		goto out;
	}
	reason = p->icmp_error ? -SHARED_RELATE : track_egress(h, &f); /* 3 */
	if (reason)
		goto out;
	if (f)
		flow_count(skb, f, p->reply, 1);
	if (leaves(p, f) || is_told(p)) { /* 4 */
		reason = -SHARED_ONWARD;
		goto out;
	}
	if (FEATURE_RATE_EGRESS)
		reason = rate_take(skb, p, 0);
	if (reason)
		goto out;
	count_forwarded(SLOT, DIRECTION_EGRESS, skb->len);
	if (p->peer_kind == PEER_HOST)
		return TC_ACT_OK;
	reason = to_container(skb, p, f);
out:
	return give_up(skb, h, reason);
}

/* What the container is sent. */
SEC("tc")
int ingress(struct __sk_buff *skb)
{
	struct flow *f = NULL;
	struct packet *p;
	struct hand *h;
	int reason;

	if (likely(allowed_before(skb))) { /* 0 */
		count_forwarded(SLOT, DIRECTION_INGRESS, skb->len);
		return bpf_redirect_peer(HOST_IFINDEX, 0);
	}

	h = hand_take(skb, DIRECTION_INGRESS);
	if (!h)
		return TC_ACT_SHOT;
	p = &h->packet;
	p->origin = skb->cb[0];
	p->news |= skb->cb[0] >> ORIGIN_NEWS_SHIFT;
	reason = receive(skb, p, DIRECTION_INGRESS); /* 1 */
	if (!reason)
		reason = find_sender(skb, p); /* 2 */
	if (reason)
		goto out;
	if (unlikely(is_question(skb))) {
		reason = explain_ingress(skb, p);
		goto out;
	}
	reason = p->icmp_error ? -SHARED_RELATE : track_ingress(p, &f); /* 3 */
	if (reason)
		goto out;
	if (f)
		flow_count(skb, f, p->reply, uncounted(skb, p));
	if (returns(p, f) || is_told(p)) {
		reason = -SHARED_ONWARD;
		goto out;
	}
	if (FEATURE_RATE_INGRESS)
		reason = rate_take(skb, p, 0);
	if (reason)
		goto out;
	count_forwarded(SLOT, DIRECTION_INGRESS, skb->len);
	return deliver(p, HOST_IFINDEX); /* 4 */
out:
	return give_up(skb, h, reason);
}

/* What a closed container's programs do with a packet. */
STEP int closed(const struct __sk_buff *skb)
{
	return unlikely(is_question(skb)) ? DROP_CLOSED : -SHARED_CLOSED;
}

/* Instead of egress and ingress as long as the container's labels are not known: nothing but ARP and ND. */
SEC("tc")
int egress_closed(struct __sk_buff *skb)
{
	struct hand *h = hand_take(skb, DIRECTION_EGRESS);

	return h ? give_up(skb, h, closed(skb)) : TC_ACT_SHOT;
}

SEC("tc")
int ingress_closed(struct __sk_buff *skb)
{
	struct hand *h = hand_take(skb, DIRECTION_INGRESS);

	if (!h)
		return TC_ACT_SHOT;
	h->packet.origin = skb->cb[0];
	return give_up(skb, h, closed(skb));
}
