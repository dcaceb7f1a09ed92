/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Normalised tuples: one key for both directions of a connection. */
#pragma once
#include "bytes.h"

/* Whether (lo, lo_port) of t is above (hi, hi_port), compared as big-endian bytes. */
STEP int tuple_is_reversed(const struct tuple *t)
{
	if (ip_half(&t->lo, 0) != ip_half(&t->hi, 0))
		return ip_half(&t->lo, 0) > ip_half(&t->hi, 0);
	if (ip_half(&t->lo, 1) != ip_half(&t->hi, 1))
		return ip_half(&t->lo, 1) > ip_half(&t->hi, 1);
	return bpf_ntohs(t->lo_port) > bpf_ntohs(t->hi_port);
}

/* Puts the two ends of t, all else of which is filled, in their order. Answers 1 if the end that was in lo is still
 * there. */
RARE int tuple_normalise(struct tuple *t)
{
	struct ip addr;
	__be16 port;

	if (!t || !tuple_is_reversed(t))
		return 1;
	addr = t->lo;
	t->lo = t->hi;
	t->hi = addr;
	port = t->lo_port;
	t->lo_port = t->hi_port;
	t->hi_port = port;
	return 0;
}

/* Fills the tuple of the ends a and b. Answers 1 if a is the lower end. */
STEP int tuple_of_ends(struct tuple *t, const struct ip *a, __be16 a_port, const struct ip *b, __be16 b_port,
		       __u8 proto)
{
	t->lo = *a;
	t->hi = *b;
	t->lo_port = a_port;
	t->hi_port = b_port;
	t->proto = proto;
	__builtin_memset(t->pad, 0, sizeof(t->pad));
	return tuple_normalise(t);
}
