/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Destinations that are frontends become backends, and replies come from the frontend again. */
#pragma once
#include "../map/hand.h"
#include "frontend.h"
#include "../lib/packet.h"
#include "rewrite.h"

/* The backend of p's destination: of a connection whose frontend has changed the one that it began with, as long as that
 * lives. 0 if the destination is no frontend. */
STEP int backend_find(struct packet *p, struct ip *addr, __be16 *port)
{
	struct ip dst = p->dst; /* keys must lie on the stack before Linux 6.2 */
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &dst);
	struct service *s;
	struct nat *n;

	if (e && !(e->flags & ENDPOINT_HOST)) /* a container's own address is never a frontend */
		return 0;
	n = opens_connection(p) ? NULL : nat_of(p);
	if (n && n->flags & NAT_DESTINATION && nat_endpoint(n)) {
		*addr = n->addr;
		*port = n->port;
		n->last = now();
		return 1;
	}
	s = frontend_find(&p->dst, p->dport, p->proto, e != NULL);
	if (!s)
		return 0;
	*addr = s->backend;
	*port = s->port;
	return 1;
}

/* If the destination is a frontend, rewrites it (packet and h) to the backend, and notes how. When the backend is the
 * sender itself, the source becomes the gateway and FLOW_HAIRPIN is set too. 0 (also: no frontend) or the drop reason. */
RARE int service_translate(struct __sk_buff *skb, struct hand *h)
{
	struct translation *t;
	struct packet *p;
	struct ip backend, gateway = {};
	__be16 port;
	int reason;

	if (!h)
		return 0;
	p = &h->packet;
	t = &h->translation;
	t->flags = 0;
	if (p->icmp_error || (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP))
		return 0;
	if (!backend_find(p, &backend, &port))
		return 0;
	t->dnat_addr = p->dst;
	t->dnat_port = p->dport;
	t->flags = FLOW_DNAT;
	reason = rewrite(skb, p, END_DESTINATION, &backend, port);
	if (reason || !ip_equal(&backend, &p->src))
		return reason;
	if (p->family == 6)
		gateway = h->container.gateway6;
	else if (h->container.gateway4)
		ip_from_v4(&gateway, h->container.gateway4);
	if (ip_is_zero(&gateway))
		return DROP_NO_ROUTE;
	t->flags |= FLOW_HAIRPIN;
	return rewrite(skb, p, END_SOURCE, &gateway, p->sport);
}

/* A packet to a frontend continues a flow that was opened to another frontend of the same backend, from the same
 * port. A datagram takes the flow over; of two TCP connections only one can be. 0 or the drop reason. */
STEP int translation_merge(const struct packet *p, struct flow *f, const struct translation *t)
{
	if (!t->flags || (f->dnat_port == t->dnat_port && ip_equal(&f->dnat_addr, &t->dnat_addr)))
		return 0;
	if (p->proto == IPPROTO_TCP)
		return DROP_FLOW_TABLE;
	f->dnat_addr = t->dnat_addr;
	f->dnat_port = t->dnat_port;
	f->ingress_revision = 0; /* who may reach the container depends on the published port */
	__sync_fetch_and_or(&f->flags, FLOW_DNAT);
	return 0;
}

/* Gives a reply of flow f (FLOW_DNAT) the source that the initiator used; with FLOW_HAIRPIN also the initiator's own
 * address as destination. Called when the packet leaves the program for a namespace, the host or the world, not
 * before a tail call. Doing it twice changes nothing. 0 or the drop reason. */
RARE int reply_untranslate(struct __sk_buff *skb, struct packet *p, struct flow *f)
{
	struct ip frontend, self;
	int reason = 0;

	if (!p || !f || !(f->flags & FLOW_DNAT))
		return 0;
	frontend = f->dnat_addr;
	self = p->src;
	if (f->flags & FLOW_HAIRPIN)
		reason = rewrite(skb, p, END_DESTINATION, &self, p->dport);
	return reason ?: rewrite(skb, p, END_SOURCE, &frontend, f->dnat_port);
}
