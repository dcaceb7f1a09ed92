/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A port of the host for a masqueraded flow: free among the other masqueraded flows, the frontends and the host's own
 * sockets. */
#pragma once
#include <linux/in.h>
#include "../abi/config.h"
#include "../map/flows_any.h"
#include "../map/flows_tcp.h"
#include "frontend.h"

#define NAT_TRIES 32

/* What is asked for, and the answer. */
struct nat_request {
	struct __sk_buff *skb;
	struct packet *p;
	struct nat inner;    /* the container's side */
	struct ip addr;      /* of the uplink */
	__u32 first, stride; /* candidates: MASQUERADE_PORT_MIN + (first + i * stride) % range */
	__be16 port;         /* the answer */
	__u16 found;
};

/* The flow that an entry belongs to is over, so that its port is free. */
STEP int nat_is_over(const struct nat *n, const struct packet *p)
{
	const __u32 both = FLOW_FIN_INITIATOR | FLOW_FIN_RESPONDER;
	struct tuple inner;
	struct flow *f;

	tuple_of_ends(&inner, &n->addr, n->port, &p->dst, is_echo(p) ? n->port : p->dport, p->proto);
	if (p->proto != IPPROTO_TCP) {
		f = bpf_map_lookup_elem(&flows_any, &inner);
		return (!f || now() - f->last > FLOW_SECONDS(180)) && now() - n->last > FLOW_SECONDS(180);
	}
	f = bpf_map_lookup_elem(&flows_tcp, &inner);
	if (!f)
		return now() - n->last > FLOW_SECONDS(60);
	return (f->flags & FLOW_RESET) || (f->flags & both) == both || now() - f->last > FLOW_SECONDS(8000);
}

/* Whether a socket of the host uses the port of the uplink's address towards p's destination. */
STEP int socket_uses(struct nat_request *r, __be16 port)
{
	struct bpf_sock_tuple t = {};
	__u32 size = sizeof(t.ipv4);
	struct bpf_sock *sk;

	if (r->p->family == 4) {
		t.ipv4.saddr = r->p->dst.w[3];
		t.ipv4.sport = r->p->dport;
		t.ipv4.daddr = r->addr.w[3];
		t.ipv4.dport = port;
	} else {
		__builtin_memcpy(t.ipv6.saddr, &r->p->dst, sizeof(t.ipv6.saddr));
		t.ipv6.sport = r->p->dport;
		__builtin_memcpy(t.ipv6.daddr, &r->addr, sizeof(t.ipv6.daddr));
		t.ipv6.dport = port;
		size = sizeof(t.ipv6);
	}
	if (r->p->proto == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(r->skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	else if (r->p->proto == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(r->skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	else
		return 0;
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/* Takes the port if it is free, or the flow's own already. */
STEP int nat_take(struct nat_request *r, __be16 port)
{
	struct packet *p = r->p;
	struct tuple outer;
	struct nat *n;

	tuple_of_ends(&outer, &r->addr, port, &p->dst, is_echo(p) ? port : p->dport, p->proto);
	r->port = port;
	if (!bpf_map_update_elem(&nat, &outer, &r->inner, BPF_NOEXIST))
		return 1;
	n = bpf_map_lookup_elem(&nat, &outer);
	if (!n)
		return 0;
	if (ip_equal(&n->addr, &r->inner.addr) && n->port == r->inner.port && n->ifindex == r->inner.ifindex)
		return 1;
	if (!nat_is_over(n, p))
		return 0;
	/* Of two processors that find the same dead entry one deletes it, and one inserts. */
	bpf_map_delete_elem(&nat, &outer);
	return !bpf_map_update_elem(&nat, &outer, &r->inner, BPF_NOEXIST);
}

/* bpf_loop's body: 1 ends the search. */
static long nat_try(__u32 index, void *context)
{
	struct nat_request *r = context;
	__u32 range = (__u32)MASQUERADE_PORT_MAX - MASQUERADE_PORT_MIN + 1;
	__be16 port;

	if (!range)
		return 1;
	port = bpf_htons(MASQUERADE_PORT_MIN + (r->first + index * r->stride) % range);
	if (frontend_find(&r->addr, port, r->p->proto, 1) || socket_uses(r, port))
		return 0;
	r->found = nat_take(r, port);
	return r->found;
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
STEP int nat_port_choose(struct nat_request *r)
{
	struct packet *p = r->p;
	__u32 h;

	if (!ports_change(p)) {
		r->found = nat_take(r, p->sport);
		return r->found ? 0 : DROP_NO_NAT_PORT;
	}
	h = nat_hash(p);
	r->first = h & 0xffff;
	r->stride = (h >> 16 & 0xff) | 1;
	bpf_loop(NAT_TRIES, nat_try, r, 0);
	return r->found ? 0 : DROP_NO_NAT_PORT;
}
