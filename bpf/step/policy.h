/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Asking the container's policy, once per connection and revision. */
#pragma once
#include "../lib/icmp.h"
#include <linux/in.h>
#include <linux/in6.h>
#include "../abi/config.h"
#include "../abi/drop.h"
#include "../abi/policy.h"
#include "../lib/bytes.h"
#include "../lib/packet.h"

RARE int policy_egress(struct policy_input *in);
RARE int policy_ingress(struct policy_input *in);

STEP __u32 peer_class(const struct packet *p)
{
	if (p->peer_kind == PEER_CONTAINER)
		return p->peer_network == NETWORK ? CLASS_NETWORK : CLASS_OTHER;
	return p->peer_kind == PEER_HOST ? CLASS_HOST : CLASS_WORLD;
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

/* Asks the container's policy, whose answer it returns. */
RARE int ask_policy(struct packet *p, __u32 side)
{
	struct policy_input in = {};
	const struct ip *peer;
	__u32 port;

	if (!p)
		return VERDICT_DENY;
	in.identity = p->peer_identity;
	in.class = peer_class(p);
	if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6)
		port = asked_icmp(p);
	else
		port = bpf_ntohs(p->reply ? p->sport : p->dport);
	in.proto_port = (__u32)p->proto << 16 | port;
	peer = p->direction == DIRECTION_EGRESS ? &p->dst : &p->src;
	in.addr_hi = (__u64)bpf_ntohl(peer->w[0]) << 32 | bpf_ntohl(peer->w[1]);
	in.addr_lo = (__u64)bpf_ntohl(peer->w[2]) << 32 | bpf_ntohl(peer->w[3]);
	if (side == DIRECTION_EGRESS)
		return FEATURE_POLICY_EGRESS ? policy_egress(&in) : VERDICT_ALLOW;
	return FEATURE_POLICY_INGRESS ? policy_ingress(&in) : VERDICT_ALLOW;
}

/* Judges the packet's connection, by the default if the container has no policy for this side. side: DIRECTION_EGRESS
 * asks what this container may reach, DIRECTION_INGRESS who may reach it. 0 or the drop reason; p->rule tells which
 * rule it was. */
RARE int judge(struct packet *p, __u32 side)
{
	__u32 answer = VERDICT_ALLOW;

	if (!p)
		return DROP_POLICY_DENIED;
	if (side == DIRECTION_EGRESS ? FEATURE_POLICY_EGRESS : FEATURE_POLICY_INGRESS)
		answer = ask_policy(p, side);
	else if (side == DIRECTION_INGRESS && peer_class(p) == CLASS_OTHER)
		answer = VERDICT_DENY;
	p->news = 1;
	p->rule = answer >> 8;
	p->judged = JUDGED_ALLOWED;
	if ((answer & 0xff) == VERDICT_ALLOW)
		return 0;
	p->judged = JUDGED_DENIED;
	return peer_class(p) == CLASS_OTHER && !p->rule ? DROP_OTHER_NETWORK : DROP_POLICY_DENIED;
}

/* Whether a judgement that the flow remembers is that of this program about this peer. */
STEP int judged(__u32 revision, __u32 peer, const struct packet *p)
{
	return revision == REVISION && peer == p->peer_identity;
}

/* Judges egress of the flow's initiator, which is this container, unless that was done. */
STEP int judge_egress(struct packet *p, struct flow *f)
{
	int reason;

	if (likely(judged(f->egress_revision, f->egress_peer, p)))
		return 0;
	reason = judge(p, DIRECTION_EGRESS);
	if (reason)
		return reason;
	f->egress_peer = p->peer_identity;
	f->egress_revision = REVISION;
	return 0;
}

/* Judges ingress of the flow's responder, which is this container, unless that was done. */
STEP int judge_ingress(struct packet *p, struct flow *f)
{
	int reason;

	if (likely(judged(f->ingress_revision, f->ingress_peer, p)))
		return 0;
	reason = judge(p, DIRECTION_INGRESS);
	if (reason)
		return reason;
	f->ingress_peer = p->peer_identity;
	f->ingress_revision = REVISION;
	return 0;
}
