/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Asking the container's policy, once per connection and revision. */
#pragma once
#include "../lib/icmp.h"
#include <linux/in.h>
#include <linux/in6.h>
#include "../abi/config.h"
#include "../abi/drop.h"
#include "../abi/event.h"
#include "../abi/policy.h"
#include "../lib/bytes.h"
#include "../lib/packet.h"

RARE int policy_egress(struct policy_input *in);
RARE int policy_ingress(struct policy_input *in);
RARE int policy_publish(struct policy_input *in);

/* The enum policy_class of the peer, without a branch: each doubles what the verifier walks behind it. World, host and
 * containers count down from CLASS_WORLD, and a container of the same network is one less. */
STEP __u32 peer_class(const struct packet *p)
{
	__u32 differs = p->peer_network ^ NETWORK;

	differs |= -differs; /* the highest bit is set unless it is 0 */
	opaque(differs);
	return CLASS_WORLD - p->peer_kind - (p->peer_kind >> 1 & ~(differs >> 31) & 1);
}

/* The ICMP type and code that the initiator sent, if this packet answers it. */
STEP __u32 asked_icmp(const struct packet *p)
{
	__u32 type = p->icmp_type;

	if (!p->reply)
		return type << 8 | p->icmp_code;
	if (p->proto == IPPROTO_ICMP && type == ICMP_ECHOREPLY)
		type = ICMP_ECHO;
	else if (p->proto == IPPROTO_ICMPV6 && type == ICMPV6_ECHO_REPLY)
		type = ICMPV6_ECHO_REQUEST;
	else if (type == ICMP_TIMESTAMPREPLY)
		type = ICMP_TIMESTAMP;
	return type << 8;
}

/* Whether the container has a policy of this side. */
STEP int restricted(__u32 side)
{
	if (side == POLICY_EGRESS)
		return FEATURE_POLICY_EGRESS;
	return side == POLICY_INGRESS ? FEATURE_POLICY_INGRESS : FEATURE_POLICY_PUBLISH;
}

/* The port, or the ICMP type and code, that the initiator named. */
STEP __u32 asked_port(const struct packet *p, __u32 side)
{
	if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6)
		return asked_icmp(p);
	if (side == POLICY_PUBLISH)
		return bpf_ntohs(p->frontend);
	return bpf_ntohs(p->reply ? p->sport : p->dport);
}

/* Asks the container's policy, whose answer it returns. */
RARE int ask_policy(struct packet *p, __u32 side)
{
	struct policy_input in = {};
	const struct ip *peer;
	__u32 sends;

	if (!p)
		return VERDICT_DENY;
	in.identity = p->peer_identity;
	in.class = peer_class(p);
	sends = ~p->direction & 1; /* DIRECTION_EGRESS: the peer is the destination, which comes after the source */
	opaque(sends);
	peer = (const struct ip *)p + sends;
	in.addr_hi = (__u64)bpf_ntohl(peer->w[0]) << 32 | bpf_ntohl(peer->w[1]);
	in.addr_lo = (__u64)bpf_ntohl(peer->w[2]) << 32 | bpf_ntohl(peer->w[3]);
	barrier(); /* what branches comes last */
	in.proto_port = (__u32)p->proto << 16 | asked_port(p, side);
	if (side == POLICY_EGRESS)
		return FEATURE_POLICY_EGRESS ? policy_egress(&in) : VERDICT_ALLOW;
	if (side == POLICY_PUBLISH)
		return FEATURE_POLICY_PUBLISH ? policy_publish(&in) : VERDICT_ALLOW;
	return FEATURE_POLICY_INGRESS ? policy_ingress(&in) : VERDICT_ALLOW;
}

/* What one policy of the container, an enum policy_side, says of the packet's connection, or the default if it has none. 0
 * or the drop reason; p->rule tells which rule it was, p->side of which policy. */
RARE int decide(struct packet *p, __u32 side)
{
	__u32 answer = VERDICT_ALLOW;

	if (!p)
		return DROP_POLICY_DENIED;
	if (restricted(side))
		answer = ask_policy(p, side);
	else if (side == POLICY_INGRESS && peer_class(p) == CLASS_OTHER)
		answer = VERDICT_DENY;
	p->rule = answer >> 8;
	p->side = side;
	if ((answer & 0xff) == VERDICT_ALLOW)
		return 0;
	if (side == POLICY_PUBLISH)
		return DROP_PUBLISH_DENIED;
	return peer_class(p) == CLASS_OTHER && !p->rule ? DROP_OTHER_NETWORK : DROP_POLICY_DENIED;
}

/* Whether a rule is about the peer, and not what holds where none is. */
STEP int is_explicit(__u32 rule, __u32 base)
{
	return rule && (!base || rule < base);
}

/* Decides about a connection that came by a published port: a rule of ingress that denies the peer wins, then what the
 * policy of published ports says, unless that has no rule about the peer: then ingress decides. */
RARE int decide_published(struct packet *p)
{
	int reason = decide(p, POLICY_INGRESS), published;
	__u32 rule;

	if (!p)
		return DROP_POLICY_DENIED;
	rule = p->rule;
	if (!FEATURE_POLICY_PUBLISH || (reason && is_explicit(rule, INGRESS_BASE)))
		return reason;
	published = decide(p, POLICY_PUBLISH);
	if (published || is_explicit(p->rule, PUBLISH_BASE))
		return published;
	p->rule = rule;
	p->side = POLICY_INGRESS;
	return reason;
}

/* Whether a rule holds under audit and learn, too. */
STEP int is_kept(const struct packet *p)
{
	__u32 denies = p->side == POLICY_EGRESS ? EGRESS_DENIES : p->side == POLICY_INGRESS ? INGRESS_DENIES : 0;

	return p->rule && p->rule <= denies;
}

/* Whether the packet passes though a policy denied it. That containers of other networks need a rule holds without any
 * policy. */
STEP int let_through(const struct packet *p)
{
	return ENFORCEMENT != ENFORCE && !(p->side == POLICY_INGRESS && peer_class(p) == CLASS_OTHER) && !is_kept(p);
}

/* Decides, and notes what is to be told and remembered. POLICY_PUBLISH stands for ingress and published ports together. 0
 * or the drop reason. */
RARE int judge(struct packet *p, __u32 side)
{
	int reason;

	if (!p)
		return DROP_POLICY_DENIED;
	reason = FEATURE_POLICY_PUBLISH && side == POLICY_PUBLISH ? decide_published(p) : decide(p, side);
	p->judged = reason ? JUDGED_DENIED : JUDGED_ALLOWED;
	if (reason && !let_through(p))
		return reason;
	p->judgement = JUDGEMENT;
	if (ENFORCEMENT != ENFORCE && reason) {
		p->denied = reason;
		p->judgement |= REVISION_AUDITED;
	}
	return 0;
}

/* Whether a judgement that the flow remembers is that of this program about this peer. */
STEP int judged(__u32 judgement, __u32 peer, const struct packet *p)
{
	if (unlikely(peer != p->peer_identity))
		return 0;
	return likely(judgement == JUDGEMENT) ||
	       (ENFORCEMENT != ENFORCE && judgement == (JUDGEMENT | REVISION_AUDITED));
}

/* A judgement by a policy is worth telling; before is the one that the flow remembers of this side, 0: none. */
STEP void judgement_is_news(struct packet *p, __u32 side, __u32 before)
{
	if (restricted(side) || (FEATURE_POLICY_PUBLISH && side == POLICY_INGRESS))
		p->news |= before ? CAUSE_STATE : CAUSE_NEW;
}

/* Judges egress of the flow's initiator, which is this container, unless that was done. */
STEP int judge_egress(struct packet *p, struct flow *f)
{
	int reason;

	if (likely(judged(f->egress_revision, f->egress_peer, p)))
		return 0;
	reason = judge(p, POLICY_EGRESS);
	if (reason)
		return reason;
	judgement_is_news(p, POLICY_EGRESS, f->egress_revision);
	f->egress_peer = p->peer_identity;
	f->egress_revision = p->judgement;
	return 0;
}

/* Judges ingress of the flow's responder, which is this container, unless that was done. */
STEP int judge_ingress(struct packet *p, struct flow *f)
{
	int reason;

	if (likely(judged(f->ingress_revision, f->ingress_peer, p)))
		return 0;
	if (f->flags & FLOW_DNAT)
		p->frontend = f->dnat_port;
	reason = judge(p, FEATURE_POLICY_PUBLISH && p->frontend ? POLICY_PUBLISH : POLICY_INGRESS);
	if (reason)
		return reason;
	judgement_is_news(p, POLICY_INGRESS, f->ingress_revision);
	f->ingress_peer = p->peer_identity;
	f->ingress_revision = p->judgement;
	return 0;
}
