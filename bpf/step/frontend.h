/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which backend a destination stands for: the look-ups that the container's program and the uplink's share. */
#pragma once
#include <linux/in.h>
#include "../lib/tuple.h"
#include "../map/endpoints.h"
#include "../map/nat.h"
#include "../map/services.h"
#include "../lib/packet.h"

STEP int ip_is_v4(const struct ip *a)
{
	return a->w[2] == V4_MAPPED && !(a->w[0] | a->w[1]);
}

STEP int is_loopback(const struct ip *a)
{
	if (ip_is_v4(a))
		return (a->w[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return !(a->w[0] | a->w[1] | a->w[2]) && a->w[3] == bpf_htonl(1);
}

STEP __u32 now(void)
{
	return bpf_ktime_get_coarse_ns() >> 30;
}

/* The packet opens a TCP connection. */
STEP int opens_connection(const struct packet *p)
{
	return p->proto == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* The service at (address, port) or, if host, at every address of the host; of the address's own family. Frontends of
 * loopback addresses are for the host's own sockets (socket.bpf.c): a packet that names one is forged. */
STEP struct service *frontend_find(const struct ip *addr, __be16 port, __u8 proto, int host)
{
	struct service_key key = { .addr = *addr, .port = port, .proto = proto };
	int v4 = ip_is_v4(addr);
	struct service *s = bpf_map_lookup_elem(&services, &key);

	if (s && is_loopback(addr))
		return NULL;
	if (!s && host) {
		key.addr.w[0] = key.addr.w[1] = key.addr.w[3] = 0;
		key.addr.w[2] = v4 ? V4_MAPPED : 0;
		s = bpf_map_lookup_elem(&services, &key);
	}
	return s && ip_is_v4(&s->backend) == v4 ? s : NULL;
}

/* The tuple of a packet as it is. */
RARE int packet_tuple(struct packet *p, struct tuple *key)
{
	return p && key ? tuple_of_ends(key, &p->src, p->sport, &p->dst, p->dport, p->proto) : 0;
}

STEP struct nat *nat_of(struct packet *p)
{
	struct tuple key = {};

	packet_tuple(p, &key);
	return bpf_map_lookup_elem(&nat, &key);
}

/* The container that entry n leads to, if it is still the one that the entry was made for. */
STEP struct endpoint *nat_endpoint(const struct nat *n)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &n->addr);

	return e && e->ifindex == n->ifindex ? e : NULL;
}

/* Remembers that p, which goes to a frontend, goes to that backend. */
STEP int nat_remember(struct packet *p, const struct service *s, const struct endpoint *e)
{
	struct nat entry = { .addr = s->backend, .port = s->port, .flags = NAT_DESTINATION,
			     .last = now(), .ifindex = e->ifindex };
	struct tuple key = {};

	packet_tuple(p, &key);
	return bpf_map_update_elem(&nat, &key, &entry, BPF_ANY);
}
