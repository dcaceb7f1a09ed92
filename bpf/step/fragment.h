/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Only a datagram's first fragment has the ports. The first is remembered, so that the others are judged alike. */
#pragma once
#include "../abi/drop.h"
#include "../abi/types.h"
#include "../map/fragments.h"
#include "../lib/packet.h"

#define FRAGMENT_TIMEOUT FLOW_SECONDS(30) /* as long as Linux keeps an incomplete datagram */

/* Gives a later fragment the ports of its first. Fragments that overtake their first are dropped. */
RARE int fragment(struct packet *p)
{
	struct fragment_key key = {};
	struct fragment value = {}, *known;

	if (!p)
		return DROP_INVALID;
	key.src = p->src;
	key.dst = p->dst;
	key.id = p->fragment_id;
	key.proto = p->proto;
	if (p->fragment == FRAGMENT_LATER) {
		known = bpf_map_lookup_elem(&fragments, &key);
		if (!known || (__u32)(bpf_ktime_get_coarse_ns() >> 30) - known->last > FRAGMENT_TIMEOUT)
			return DROP_FRAGMENT;
		p->sport = known->sport;
		p->dport = known->dport;
		p->icmp_type = known->icmp_type;
		return 0;
	}
	value.sport = p->sport;
	value.dport = p->dport;
	value.icmp_type = p->icmp_type;
	value.last = bpf_ktime_get_coarse_ns() >> 30;
	return bpf_map_update_elem(&fragments, &key, &value, BPF_ANY) ? DROP_FLOW_TABLE : 0;
}
