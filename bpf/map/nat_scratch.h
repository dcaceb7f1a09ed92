/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* A search for a masquerade port, and its answer. */
struct nat_request {
	struct nat inner;    /* the container's side */
	struct ip addr;      /* of the uplink */
	__u32 first, stride; /* candidates: MASQUERADE_PORT_MIN + (first + i * stride) % range */
	__be16 port;         /* the answer */
	__u16 found;
	struct tuple key;    /* for look-ups */
};

/* Key: 0. Value: the search of this CPU, which the programs' stack is too small for.
 * Writer and reader: the program egress (step masquerade), within one packet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nat_request);
} nat_scratch SEC(".maps");
