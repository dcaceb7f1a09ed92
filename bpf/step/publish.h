/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What comes in by an uplink and belongs to a container: replies to its masqueraded flows, connections to its published
 * ports, and ICMP errors about both. */
#pragma once
#include <linux/errno.h>
#include "../abi/drop.h"
#include "../map/endpoints.h"
#include "flow.h"
#include "frontend.h"
#include "icmp_error.h"
#include "../lib/packet.h"
#include "service.h"

/* Where a packet goes. */
struct destination {
	struct ip addr; /* of the container */
	__be16 port;
	__u16 nat;      /* enum nat_flags: how it got here */
	__u32 slot;
	__u32 found;    /* 0: it is not for a container */
	__u32 allowed;  /* the container's revision that allowed the flow from the world, 0: it must judge */
};

/* Whether an address is one of the host or its containers, so that nobody outside can have it. */
STEP int is_ours(const struct ip *addr)
{
	return bpf_map_lookup_elem(&endpoints, addr) != NULL;
}

STEP void destination_set(struct destination *d, const struct ip *addr, __be16 port, __u16 how,
			  const struct endpoint *e)
{
	d->addr = *addr;
	d->port = port;
	d->nat = how;
	d->slot = e->slot;
	d->found = 1;
}

/* A flow that is known, unless the packet opens a connection to a frontend, which may have another backend by now. */
STEP int publish_known(struct packet *p, struct destination *d)
{
	struct nat *n = nat_of(p);
	struct endpoint *e;

	if (!n || (n->flags & NAT_DESTINATION && opens_connection(p)))
		return 0;
	e = nat_endpoint(n);
	if (!e)
		return 0;
	if (n->last != now()) {
		n->last = now();
		p->news = 1;
	}
	destination_set(d, &n->addr, n->port, n->flags, e);
	return 1;
}

/* Looks for the container that p is for. 0 or the drop reason. */
STEP int publish(struct packet *p, struct destination *d)
{
	struct endpoint *host, *e;
	struct service *s;

	if (publish_known(p, d) || (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP))
		return 0;
	host = bpf_map_lookup_elem(&endpoints, &p->dst);
	s = frontend_find(&p->dst, p->dport, p->proto, host && host->flags & ENDPOINT_HOST);
	if (!s)
		return 0;
	e = bpf_map_lookup_elem(&endpoints, &s->backend);
	if (!e || e->flags & ENDPOINT_HOST)
		return DROP_NO_ENDPOINT;
	destination_set(d, &s->backend, s->port, NAT_DESTINATION, e);
	return nat_remember(p, s, e) ? DROP_FLOW_TABLE : 0;
}

/* Whether p is for a container that the outside knows by its own address. Then nothing is translated (nat 0). */
STEP int routed(const struct packet *p, struct destination *d)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &p->dst);

	if (!e || !(e->flags & ENDPOINT_ROUTED))
		return 0;
	destination_set(d, &p->dst, p->dport, 0, e);
	return 1;
}

/* The flow of a packet to a frontend, with the frontend that it names. 0 or the drop reason. */
STEP int publish_frontend_flow(struct tuple *key, struct packet *p, struct destination *d, int client_is_lo)
{
	struct translation t = { .dnat_addr = p->dst, .dnat_port = p->dport, .flags = FLOW_DNAT };
	struct flow *f = flow_find(key);

	if (f && flow_continue(f, p, client_is_lo ? FLOW_INITIATOR_LO : 0) && !p->reply) {
		int reason = translation_merge(p, f, &t);

		if (!p->news && !p->fragment && f->ingress_peer == IDENTITY_WORLD)
			d->allowed = f->ingress_revision; /* after the merge, which may void it */
		return reason;
	}
	p->reply = 0;
	return flow_enter(key, p, &t, client_is_lo ? FLOW_INITIATOR_LO : 0);
}

/* The flow of a reply to a masqueraded one, should it have been evicted. 0 or the drop reason. */
STEP int publish_masquerade_flow(struct tuple *key, const struct packet *p, int world_is_lo, __u32 ifindex)
{
	struct flow f = { .last = flow_now(), .flags = FLOW_SNAT | FLOW_REPLIED, .snat_addr = p->dst,
			  .snat_port = p->dport, .masquerade_ifindex = ifindex };
	long err;

	if (flow_find(key))
		return 0;
	if (!world_is_lo)
		f.flags |= FLOW_INITIATOR_LO;
	if (p->proto == IPPROTO_TCP) {
		f.flags |= FLOW_ESTABLISHED;
		err = bpf_map_update_elem(&flows_tcp, key, &f, BPF_NOEXIST);
	} else {
		err = bpf_map_update_elem(&flows_any, key, &f, BPF_NOEXIST);
	}
	return err && err != -EEXIST ? DROP_FLOW_TABLE : 0;
}

/* Sees to it that the flow table knows how p, not translated yet, is translated, since the container's programs undo
 * it. 0 or the drop reason. */
STEP int publish_flow(struct __sk_buff *skb, struct packet *p, struct destination *d)
{
	__be16 far = is_echo(p) ? d->port : p->sport;
	struct tuple key = {};
	int lo = tuple_of_ends(&key, &p->src, far, &d->addr, d->port, p->proto);

	if (d->nat & NAT_SOURCE)
		return publish_masquerade_flow(&key, p, lo, skb->ifindex);
	return publish_frontend_flow(&key, p, d, lo);
}

/* An ICMP error about a packet that a translated flow sent out. 0 or the drop reason. */
STEP int publish_icmp_error(struct __sk_buff *skb, struct packet *p, struct destination *d)
{
	struct endpoint *e;
	struct tuple key = {};
	struct inner in = {};
	struct nat *n;

	if (p->fragment || inner_parse(skb, p, &in) || !ip_equal(&in.src, &p->dst))
		return 0;
	inner_tuple(&in, &key);
	n = bpf_map_lookup_elem(&nat, &key);
	if (!n)
		return 0;
	e = nat_endpoint(n);
	if (!e)
		return 0;
	destination_set(d, &n->addr, n->port, n->flags, e);
	return icmp_error_enter(skb, p, &in, n);
}
