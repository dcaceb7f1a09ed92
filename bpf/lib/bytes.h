/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses as numbers: comparing and copying without loops. */
#pragma once
#include "../abi/types.h"
#include "compiler.h"

#define V4_MAPPED bpf_htonl(0xffff) /* third word of ::ffff:a.b.c.d */

enum address_family { /* <sys/socket.h> wants a C library for the target */
	AF_INET = 2,
	AF_INET6 = 10,
};

STEP void ip_from_v4(struct ip *out, __be32 addr)
{
	out->w[0] = 0;
	out->w[1] = 0;
	out->w[2] = V4_MAPPED;
	out->w[3] = addr;
}

STEP int ip_equal(const struct ip *a, const struct ip *b)
{
	return a->w[3] == b->w[3] && a->w[2] == b->w[2] && a->w[1] == b->w[1] && a->w[0] == b->w[0];
}

/* The upper or lower half of an address, as a number. */
STEP __u64 ip_half(const struct ip *a, int lower)
{
	return (__u64)bpf_ntohl(a->w[2 * lower]) << 32 | bpf_ntohl(a->w[2 * lower + 1]);
}

STEP int ip_is_zero(const struct ip *a)
{
	return !(a->w[0] | a->w[1] | a->w[2] | a->w[3]);
}

/* Likewise for the constants of abi/config.h, which are volatile. */
STEP int ip_is_constant(const struct ip *a, const volatile struct ip *b)
{
	return a->w[3] == b->w[3] && a->w[2] == b->w[2] && a->w[1] == b->w[1] && a->w[0] == b->w[0];
}

STEP void ip_from_constant(struct ip *out, const volatile struct ip *in)
{
	out->w[0] = in->w[0];
	out->w[1] = in->w[1];
	out->w[2] = in->w[2];
	out->w[3] = in->w[3];
}

/* A word of a netmask in network order: bits is the prefix length that is left for this word and those behind it. */
STEP __be32 mask_word(__u32 bits)
{
	if (bits >= 32)
		return 0xffffffff;
	return bits ? bpf_htonl(~0u << (32 - bits)) : 0;
}

/* A MAC address as the number that CONTAINER_MAC and HOST_MAC hold: memory order, two zero bytes. */
STEP __u64 mac_number(const unsigned char *mac)
{
	return (__u64)mac[0] | (__u64)mac[1] << 8 | (__u64)mac[2] << 16 | (__u64)mac[3] << 24 |
	       (__u64)mac[4] << 32 | (__u64)mac[5] << 40;
}

STEP void mac_write(unsigned char *mac, __u64 number)
{
	mac[0] = number;
	mac[1] = number >> 8;
	mac[2] = number >> 16;
	mac[3] = number >> 24;
	mac[4] = number >> 32;
	mac[5] = number >> 40;
}
