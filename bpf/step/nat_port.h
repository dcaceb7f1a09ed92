/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A port of the host for a masqueraded flow: free among the other masqueraded flows, the frontends and the host's own
 * sockets. */
#pragma once
#include <linux/in.h>
#include "../abi/host.h"
#include "../map/flows_any.h"
#include "../map/flows_tcp.h"
#include "../map/nat_scratch.h"
#include "frontend.h"
#include "rewrite.h"

#define NAT_TRIES 32

/* What the search works on. */
struct nat_search {
	struct __sk_buff *skb;
	struct packet *p;
	struct nat_request *r;
};

/* Fills r->key with the flow's tuple as its end (addr, port) and the destination of p see it. */
RARE_LOCAL int nat_key(struct nat_search *s, const struct ip *addr, __be16 port)
{
	const struct packet *p = s->p;

	tuple_of_ends(&s->r->key, addr, port, &p->dst, is_echo(p) ? port : p->dport, p->proto);
	return 0;
}

/* The flow that an entry belongs to is over, so that its port is free. */
STEP int nat_is_over(struct nat_search *s, const struct nat *n)
{
	const __u32 both = FLOW_FIN_INITIATOR | FLOW_FIN_RESPONDER;
	__u32 time = now();
	struct flow *f;

	nat_key(s, &n->addr, n->port);
	if (s->p->proto == IPPROTO_TCP)
		f = bpf_map_lookup_elem(&flows_tcp, &s->r->key);
	else
		f = bpf_map_lookup_elem(&flows_any, &s->r->key);
	if (!f)
		return time - n->last > FLOW_SECONDS(60);
	if (s->p->proto != IPPROTO_TCP)
		return time - f->last > FLOW_SECONDS(180);
	return f->flags & FLOW_RESET || (f->flags & both) == both || time - f->last > FLOW_SECONDS(8000);
}

/* Takes the port if it is free, or the flow's own already. */
RARE_LOCAL int nat_take(struct nat_search *s, __be16 port)
{
	struct nat_request *r = s->r;
	struct nat *n;

	nat_key(s, &r->addr, port);
	r->port = port;
	if (!bpf_map_update_elem(&nat, &r->key, &r->inner, BPF_NOEXIST))
		return 1;
	n = bpf_map_lookup_elem(&nat, &r->key);
	if (!n)
		return 0;
	if (ip_equal(&n->addr, &r->inner.addr) && n->port == r->inner.port && n->ifindex == r->inner.ifindex) {
		n->last = r->inner.last;
		return 1;
	}
	if (!nat_is_over(s, n))
		return 0;
	/* Of two processors that find the same dead entry, both delete it and one inserts. */
	nat_key(s, &r->addr, port);
	bpf_map_delete_elem(&nat, &r->key);
	return !bpf_map_update_elem(&nat, &r->key, &r->inner, BPF_NOEXIST);
}

RARE_LOCAL int frontend_taken(struct nat_search *s, __be16 port)
{
	return frontend_find(&s->r->addr, port, s->p->proto, 1) != NULL;
}

/* Whether a socket of the host uses the port of the uplink's address towards p's destination. */
RARE_LOCAL int socket_uses(struct nat_search *s, __be16 port)
{
	struct packet *p = s->p;
	struct bpf_sock_tuple t = {};
	__u32 size = sizeof(t.ipv4);
	struct bpf_sock *sk;

	if (p->family == 4) {
		t.ipv4.saddr = p->dst.w[3];
		t.ipv4.sport = p->dport;
		t.ipv4.daddr = s->r->addr.w[3];
		t.ipv4.dport = port;
	} else {
		__builtin_memcpy(t.ipv6.saddr, &p->dst, sizeof(t.ipv6.saddr));
		t.ipv6.sport = p->dport;
		__builtin_memcpy(t.ipv6.daddr, &s->r->addr, sizeof(t.ipv6.daddr));
		t.ipv6.dport = port;
		size = sizeof(t.ipv6);
	}
	if (p->proto == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(s->skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	else if (p->proto == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(s->skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	else
		return 0;
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/* bpf_loop's body: 1 ends the search. */
static long nat_try(__u32 index, void *context)
{
	struct nat_search *s = context;
	__u32 range = (__u32)MASQUERADE_PORT_MAX - MASQUERADE_PORT_MIN + 1;
	__be16 port;

	if (!range)
		return 1;
	port = bpf_htons(MASQUERADE_PORT_MIN + (s->r->first + index * s->r->stride) % range);
	if (frontend_taken(s, port) || socket_uses(s, port))
		return 0;
	s->r->found = nat_take(s, port);
	return s->r->found;
}

/* The candidates follow from the flow, so that one whose entries were evicted finds its old port again. */
STEP __u32 nat_hash(const struct packet *p)
{
	__u32 h = p->src.w[3] * 0x9e3779b1;

	h = (h ^ p->src.w[1]) * 0x85ebca6b;
	h = (h ^ h >> 15 ^ p->dst.w[3]) * 0xc2b2ae35;
	h = (h ^ h >> 13 ^ ((__u32)p->sport << 16 | p->dport)) * 0x27d4eb2f;
	return h ^ h >> 16;
}

/* Whether the flow has ports (ICMP echo: an identifier) that can be changed. */
STEP int ports_change(const struct packet *p)
{
	return p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP || is_echo(p);
}

/* Finds a port of r->addr for p and enters it into the map nat. 0 or DROP_NO_NAT_PORT. */
STEP int nat_port_choose(struct nat_search *s)
{
	__u32 h;

	if (!ports_change(s->p)) {
		s->r->found = nat_take(s, s->p->sport);
		return s->r->found ? 0 : DROP_NO_NAT_PORT;
	}
	h = nat_hash(s->p);
	s->r->first = h & 0xffff;
	s->r->stride = (h >> 16 & 0xff) | 1;
	bpf_loop(NAT_TRIES, nat_try, s, 0);
	return s->r->found ? 0 : DROP_NO_NAT_PORT;
}
