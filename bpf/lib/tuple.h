/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Normalised tuples: one key for both directions of a connection. */
#pragma once
#include "bytes.h"

/* Compares two words in network order as big-endian bytes: -1, 0 or 1. */
STEP int word_compare(__be32 a, __be32 b)
{
	__u32 x = bpf_ntohl(a), y = bpf_ntohl(b);

	return x < y ? -1 : x > y;
}

/* Whether (a, a_port) is the lower end of the two. */
STEP int end_is_lo(const struct ip *a, __be16 a_port, const struct ip *b, __be16 b_port)
{
	int order = word_compare(a->w[0], b->w[0]);

	if (!order)
		order = word_compare(a->w[1], b->w[1]);
	if (!order)
		order = word_compare(a->w[2], b->w[2]);
	if (!order)
		order = word_compare(a->w[3], b->w[3]);
	return order ? order < 0 : bpf_ntohs(a_port) <= bpf_ntohs(b_port);
}

/* Fills the tuple of the ends a and b. Answers 1 if a is the lower end. */
STEP int tuple_of_ends(struct tuple *t, const struct ip *a, __be16 a_port, const struct ip *b, __be16 b_port,
		       __u8 proto)
{
	int a_is_lo = end_is_lo(a, a_port, b, b_port);

	t->lo = a_is_lo ? *a : *b;
	t->hi = a_is_lo ? *b : *a;
	t->lo_port = a_is_lo ? a_port : b_port;
	t->hi_port = a_is_lo ? b_port : a_port;
	t->proto = proto;
	__builtin_memset(t->pad, 0, sizeof(t->pad));
	return a_is_lo;
}
