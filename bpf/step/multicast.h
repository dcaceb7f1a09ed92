/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets to nobody in particular, or to nobody at all, are not carried. */
#pragma once
#include "../abi/drop.h"
#include "../lib/packet.h"

STEP int refuse_multicast6(const struct packet *p)
{
	__u32 addr = bpf_ntohl(p->dst.w[0]);

	if (addr >> 24 == 0xff || addr >> 22 == 0xfe80 >> 6)
		return DROP_MULTICAST;
	if (!(p->dst.w[0] | p->dst.w[1] | p->dst.w[2]) && bpf_ntohl(p->dst.w[3]) <= 1)
		return DROP_INVALID;
	return 0;
}

STEP int refuse_multicast4(const struct packet *p, __be32 subnet, __u32 bits)
{
	__u32 addr = bpf_ntohl(p->dst.w[3]);
	__u32 host_bits = bits && bits < 31 ? ~0u >> bits : 0;

	if (addr >= 0xe0000000 || (host_bits && addr == (bpf_ntohl(subnet) | host_bits)))
		return DROP_MULTICAST;
	if (addr >> 24 == 127 || addr >> 24 == 0)
		return DROP_INVALID;
	return 0;
}

/* subnet: the container's, of IPv4, with its prefix length. */
STEP int refuse_multicast(const struct packet *p, __be32 subnet, __u32 bits)
{
	return p->family == 4 ? refuse_multicast4(p, subnet, bits) : refuse_multicast6(p);
}
