/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way out to the world. */
#pragma once
#include "../map/uplinks.h"
#include "charge.h"
#include "nat_port.h"
#include "rewrite.h"
#include "service.h"
#include "unreachable.h"
#include "wire.h"

/* Asks the routing table, as for a packet that came in by the host-side veth. Answers BPF_FIB_LKUP_RET_…, or a negative
 * error. */
STEP long route(struct __sk_buff *skb, const struct packet *p, struct bpf_fib_lookup *fib)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = skb->ifindex;
	fib->l4_protocol = p->proto;
	fib->sport = p->sport;
	fib->dport = p->dport;
	fib->tot_len = segment_length(skb, p);
	if (p->family == 4) {
		fib->family = AF_INET;
		fib->ipv4_src = p->src.w[3];
		fib->ipv4_dst = p->dst.w[3];
	} else {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_src, &p->src, sizeof(fib->ipv6_src));
		__builtin_memcpy(fib->ipv6_dst, &p->dst, sizeof(fib->ipv6_dst));
	}
	return bpf_fib_lookup(skb, fib, sizeof(*fib), 0);
}

/* The address that the uplink lends to packets of p's family. 0 or DROP_NO_UPLINK_ADDRESS. */
STEP int uplink_address(const struct packet *p, const struct uplink *u, struct ip *addr)
{
	if (!u)
		return DROP_NO_UPLINK_ADDRESS;
	if (p->family == 4)
		ip_from_v4(addr, u->addr4);
	else
		*addr = u->addr6;
	return addr->w[3] || (p->family == 6 && !ip_is_zero(addr)) ? 0 : DROP_NO_UPLINK_ADDRESS;
}

/* Whether the flow may go on with the mapping that it has. One whose uplink or address changed gets a new one, except
 * TCP, which would not survive it. */
STEP int mapping_stands(const struct packet *p, const struct flow *f, __u32 ifindex, const struct ip *addr)
{
	if (!(f->flags & FLOW_SNAT))
		return 0;
	return p->proto == IPPROTO_TCP || (f->masquerade_ifindex == ifindex && ip_equal(&f->snat_addr, addr));
}

STEP void nat_request_start(struct nat_request *r, const struct hand *h)
{
	r->inner.addr = h->packet.src;
	r->inner.port = h->packet.sport;
	r->inner.flags = NAT_SOURCE;
	r->inner.last = now();
	r->inner.ifindex = h->container.ifindex;
	r->found = 0;
}

/* Gives the packet the address of the uplink u, which has that ifindex, and a port. 0 or the drop reason. */
RARE int masquerade(struct __sk_buff *skb, struct hand *h, struct flow *f, struct uplink *u, __u32 ifindex)
{
	struct nat_search s = { .skb = skb };
	struct packet *p;
	__u32 zero = 0;
	int reason;

	s.r = bpf_map_lookup_elem(&nat_scratch, &zero);
	if (!h || !f || !s.r)
		return DROP_INVALID;
	p = s.p = &h->packet;
	nat_request_start(s.r, h);
	reason = uplink_address(p, u, &s.r->addr);
	if (mapping_stands(p, f, ifindex, &s.r->addr)) {
		s.r->addr = f->snat_addr;
		s.r->found = nat_take(&s, f->snat_port);
	} else if (reason) {
		return reason;
	}
	if (!s.r->found) {
		reason = reason ?: nat_port_choose(&s);
		if (reason)
			return reason;
		f->snat_addr = s.r->addr;
		f->snat_port = s.r->port;
		f->masquerade_ifindex = ifindex;
		__sync_fetch_and_or(&f->flags, FLOW_SNAT);
	}
	return rewrite(skb, p, END_SOURCE, &s.r->addr, s.r->port);
}

/* Takes one off the hop limit; the caller saw that it is above 1. 0 or DROP_REWRITE. */
STEP int hop(struct __sk_buff *skb, struct packet *p)
{
	__u8 ttl = p->ttl - 1;

	p->ttl = ttl;
	if (p->family == 6)
		return bpf_skb_store_bytes(skb, p->l3 + offsetof(struct ipv6hdr, hop_limit), &ttl, 1,
					   BPF_F_RECOMPUTE_CSUM) ? DROP_REWRITE : 0;
	/* The hop limit is the upper byte of its word in the checksum. */
	if (bpf_l3_csum_replace(skb, p->l3 + offsetof(struct iphdr, check), bpf_htons((ttl + 1) << 8),
				bpf_htons(ttl << 8), 2))
		return DROP_REWRITE;
	return bpf_skb_store_bytes(skb, p->l3 + offsetof(struct iphdr, ttl), &ttl, 1, 0) ? DROP_REWRITE : 0;
}

/* What the look-up found. For IPv4 the next hop may be of IPv6 (RFC 5549): the look-up says so in family. */
STEP void route_take(struct route *r, const struct bpf_fib_lookup *fib, const struct uplink *u)
{
	__builtin_memcpy(&r->next, fib->ipv6_dst, sizeof(r->next));
	r->ifindex = fib->ifindex;
	r->mtu = fib->mtu_result;
	r->family = fib->family;
	r->flags = u ? u->flags : 0;
}

STEP int route_follow(const struct route *r)
{
	struct bpf_redir_neigh next = { .nh_family = r->family };

	if (r->flags & UPLINK_NO_ETHERNET) /* bpf_redirect takes the header off */
		return bpf_redirect(r->ifindex, 0);
	__builtin_memcpy(next.ipv6_nh, &r->next, sizeof(next.ipv6_nh));
	return bpf_redirect_neigh(r->ifindex, &next, sizeof(next), 0);
}

/* Keeps the route for the packets of this tick. Another processor that reads meanwhile finds the route of no tick. */
STEP void route_keep(struct flow *f, const struct route *r)
{
	f->route.tick = 0;
	barrier();
	f->route.next = r->next;
	f->route.ifindex = r->ifindex;
	f->route.mtu = r->mtu;
	f->route.family = r->family;
	f->route.flags = r->flags;
	barrier();
	f->route.tick = FLOW_TICK;
}

/* Takes the packet out of the container's limit, and lets it wait where the way's first device can keep it. 0 or the drop
 * reason. */
STEP int leave_charge(struct __sk_buff *skb, struct hand *h, const struct route *r)
{
	return h->container.rate_egress ? rate_charge(skb, &h->packet, r->flags & UPLINK_PACES) : 0;
}

/* A packet whose flow's route was asked for in this tick goes the same way, unless it is masqueraded: its port must be
 * seen to still be the flow's own. The TC action, the negative drop reason, or 0: the routing table must be asked. */
STEP int leave_as_before(struct __sk_buff *skb, struct hand *h, struct flow *f)
{
	struct packet *p = &h->packet;
	int reason;

	if (f->route.tick != FLOW_TICK || segment_length(skb, p) > f->route.mtu)
		return 0;
	reason = leave_charge(skb, h, &f->route);
	if (!reason && p->reply)
		reason = reply_untranslate(skb, p, f);
	if (!reason)
		reason = hop(skb, p);
	return reason ? -reason : route_follow(&f->route);
}

/* Tells the sender why its packet does not go out. The TC action, or the negative drop reason. */
STEP int refuse_route(struct __sk_buff *skb, struct hand *h, long answer, __u32 mtu)
{
	switch (answer) {
	case BPF_FIB_LKUP_RET_NOT_FWDED: /* an address of the host that the map endpoints does not have yet */
		return TC_ACT_OK;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return send_icmp_error(skb, h, ANSWER_TOO_BIG, mtu);
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return send_icmp_error(skb, h, ANSWER_PROHIBITED, 0);
	case BPF_FIB_LKUP_RET_UNREACHABLE:
		return send_icmp_error(skb, h, ANSWER_NET_UNREACHABLE, 0);
	}
	return -DROP_NO_ROUTE;
}

/* Sends a packet of flow f out of the host: takes one off the hop limit, gives a forward packet the uplink's address
 * and a free port if the network masquerades (remembered in f and in the map nat), gives a reply the frontend's address,
 * asks the routing table and redirects to the next hop. f lies in the flow table; it is NULL for ICMP errors, which
 * icmp_error_relate translated. Answers the TC action, or the negative drop reason. */
RARE int masquerade_and_leave(struct __sk_buff *skb, struct hand *h, struct flow *f)
{
	struct bpf_fib_lookup fib;
	struct route r = {};
	struct packet *p;
	struct uplink *u;
	int reason = 0;
	long answer;

	if (!h)
		return -DROP_INVALID;
	p = &h->packet;
	if (p->ttl <= 1)
		return send_icmp_error(skb, h, ANSWER_TIME_EXCEEDED, 0);
	answer = f ? leave_as_before(skb, h, f) : 0;
	if (answer)
		return answer;
	if (f && p->reply)
		reason = reply_untranslate(skb, p, f);
	if (reason)
		return -reason;
	answer = route(skb, p, &fib);
	if (answer != BPF_FIB_LKUP_RET_SUCCESS && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return refuse_route(skb, h, answer, fib.mtu_result);
	u = bpf_map_lookup_elem(&uplinks, &fib.ifindex);
	route_take(&r, &fib, u);
	if (f)
		reason = leave_charge(skb, h, &r);
	if (!reason && h->container.masquerade && f && !p->reply)
		reason = masquerade(skb, h, f, u, fib.ifindex);
	if (!reason)
		reason = hop(skb, p);
	if (reason)
		return -reason;
	if (f && (p->reply || !(f->flags & FLOW_SNAT)))
		route_keep(f, &r);
	return route_follow(&r);
}
