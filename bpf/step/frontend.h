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

/* Of a service and an address: whether they are of one family. */
STEP struct service *service_of_family(struct service *s, int v4)
{
	return s && ip_is_v4(&s->backend) == v4 ? s : NULL;
}

/* The service at (address, port); of the address's own family. Frontends of loopback addresses are for the host's own
 * sockets (socket.bpf.c): a packet that names one is forged. */
STEP struct service *frontend_at(const struct ip *addr, __be16 port, __u8 proto)
{
	struct service_key key = { .addr = *addr, .port = port, .proto = proto };
	struct service *s = bpf_map_lookup_elem(&services, &key);

	return s && !is_loopback(addr) ? service_of_family(s, ip_is_v4(addr)) : NULL;
}

/* The service at (every address of the host, port), for an address of the host. */
STEP struct service *frontend_at_host(const struct ip *addr, __be16 port, __u8 proto)
{
	struct service_key key = { .port = port, .proto = proto };
	int v4 = ip_is_v4(addr);

	if (v4)
		key.addr.w[2] = V4_MAPPED;
	return service_of_family(bpf_map_lookup_elem(&services, &key), v4);
}

/* The service of a destination; host: it is an address of the host. */
STEP struct service *frontend_find(const struct ip *addr, __be16 port, __u8 proto, int host)
{
	struct service *s = frontend_at(addr, port, proto);

	return s || !host ? s : frontend_at_host(addr, port, proto);
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
