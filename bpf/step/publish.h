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
	__u32 tracked;  /* 1: it belongs to a flow that was entered, so its source was looked at */
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

/* A reply to a masqueraded flow, or a packet of a connection whose frontend has changed since. */
STEP int publish_known(struct packet *p, struct destination *d)
{
	struct nat *n = nat_of(p);
	struct endpoint *e;

	if (!n || (n->flags & NAT_DESTINATION && opens_connection(p)))
		return 0;
	e = nat_endpoint(n);
	if (!e)
		return 0;
	if (n->last != now())
		n->last = now();
	destination_set(d, &n->addr, n->port, n->flags, e);
	return 1;
}

/* A packet of a flow to the frontend and backend of d. What is news the container's program tells, which must look then. */
STEP int publish_continues(const struct __sk_buff *skb, struct packet *p, struct destination *d)
{
	struct tuple key = {};
	int lo = tuple_of_ends(&key, &p->src, p->sport, &d->addr, d->port, p->proto);
	struct flow *f = flow_find(&key);

	if (!f || f->dnat_port != p->dport || !ip_equal(&f->dnat_addr, &p->dst) ||
	    !flow_goes_on(f, p, lo ? FLOW_INITIATOR_LO : 0) || p->reply)
		return 0;
	d->tracked = 1;
	if (!p->fragment && f->ingress_peer == IDENTITY_WORLD && !p->news)
		d->allowed = f->ingress_revision;
	if (d->allowed)
		flow_count(skb, f, 0, 1);
	return 1;
}

/* A packet to the service s. any: it is published at every address of the host. 0 or the drop reason. */
STEP int publish_to(const struct __sk_buff *skb, struct packet *p, struct destination *d, const struct service *s, int any)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &s->backend), *host;

	if (e && !(e->flags & ENDPOINT_HOST)) {
		destination_set(d, &s->backend, s->port, NAT_DESTINATION, e);
		if (publish_continues(skb, p, d))
			return 0;
	}
	if (any) {
		host = bpf_map_lookup_elem(&endpoints, &p->dst);
		if (!host || !(host->flags & ENDPOINT_HOST)) {
			d->found = 0;
			return 0;
		}
	}
	if (!opens_connection(p) && publish_known(p, d))
		return 0;
	return d->found ? 0 : DROP_NO_ENDPOINT;
}

/* Looks for the container that p is for. 0 or the drop reason. */
STEP int publish(const struct __sk_buff *skb, struct packet *p, struct destination *d)
{
	__u16 port = bpf_ntohs(p->dport);
	struct service *s;
	int any;

	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP) {
		publish_known(p, d);
		return 0;
	}
	if (port >= MASQUERADE_PORT_MIN && port <= MASQUERADE_PORT_MAX && publish_known(p, d))
		return 0;
	s = frontend_at(&p->dst, p->dport, p->proto);
	any = !s;
	if (!s)
		s = frontend_at_host(&p->dst, p->dport, p->proto);
	if (s)
		return publish_to(skb, p, d, s, any);
	publish_known(p, d);
	return 0;
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
STEP int publish_frontend_flow(struct __sk_buff *skb, struct tuple *key, struct packet *p, int client_is_lo)
{
	struct translation t = { .dnat_addr = p->dst, .dnat_port = p->dport, .flags = FLOW_DNAT };
	struct flow *f = flow_find(key);

	if (f && flow_continue(f, p, client_is_lo ? FLOW_INITIATOR_LO : 0) && !p->reply)
		return translation_merge(p, f, &t);
	p->reply = 0;
	return flow_enter(skb, key, p, &t, client_is_lo ? FLOW_INITIATOR_LO : 0);
}

/* The flow of a reply to a masqueraded one, should it have been evicted. 0 or the drop reason. */
RARE int publish_masquerade_flow(struct tuple *known, struct packet *p, int world_is_lo, __u32 ifindex)
{
	struct flow *f;
	struct tuple key; /* keys must lie on the stack before Linux 6.2 */
	long err;

	if (!known || !p)
		return DROP_FLOW_TABLE;
	key = *known;
	if (flow_find(&key))
		return 0;
	f = flow_blank();
	if (!f)
		return DROP_FLOW_TABLE;
	p->news |= CAUSE_NEW;
	f->flags = FLOW_SNAT | FLOW_REPLIED;
	f->snat_addr = p->dst;
	f->snat_port = p->dport;
	f->masquerade_ifindex = ifindex;
	if (!world_is_lo)
		f->flags |= FLOW_INITIATOR_LO;
	if (p->proto == IPPROTO_TCP) {
		f->flags |= FLOW_ESTABLISHED;
		err = bpf_map_update_elem(&flows_tcp, &key, f, BPF_NOEXIST);
	} else {
		err = bpf_map_update_elem(&flows_any, &key, f, BPF_NOEXIST);
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
	return publish_frontend_flow(skb, &key, p, lo);
}

/* The container that sent the packet inside an ICMP error, by a translated flow. */
STEP int publish_inner(const struct inner *in, struct destination *d)
{
	struct tuple key = {};
	struct endpoint *e;
	struct service *s;
	struct nat *n;

	inner_tuple(in, &key);
	n = bpf_map_lookup_elem(&nat, &key);
	e = n ? nat_endpoint(n) : NULL;
	if (e) {
		destination_set(d, &n->addr, n->port, n->flags, e);
		return 1;
	}
	s = frontend_find(&in->src, in->sport, in->proto, 1);
	e = s ? bpf_map_lookup_elem(&endpoints, &s->backend) : NULL;
	if (!e || e->flags & ENDPOINT_HOST)
		return 0;
	tuple_of_ends(&key, &s->backend, s->port, &in->dst, in->dport, in->proto);
	if (!flow_find(&key))
		return 0;
	destination_set(d, &s->backend, s->port, NAT_DESTINATION, e);
	return 1;
}

/* An ICMP error about a packet that a translated flow sent out. 0 or the drop reason. */
STEP int publish_icmp_error(struct __sk_buff *skb, struct packet *p, struct destination *d)
{
	struct inner in = {};

	if (p->fragment || inner_parse(skb, p, &in) || !ip_equal(&in.src, &p->dst) || !publish_inner(&in, d))
		return 0;
	return icmp_error_enter(skb, p, &in, &d->addr, d->port);
}
