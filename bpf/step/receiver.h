/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a sender's program tells the receiver's: it has this very flow in hand. */
#pragma once
#include "../abi/types.h"
#include "../lib/packet.h"

/* The receiver's revision under which its program allowed the flow with this sender; 0 if it must look itself, because
 * it did not, or because the packet is translated back or a fragment that it must remember. identity: of the sender. */
STEP __u32 receivers_judgement(const struct packet *p, const struct flow *f, __u32 identity)
{
	if (!f || p->fragment || f->flags & (FLOW_DNAT | FLOW_SNAT | FLOW_HAIRPIN))
		return 0;
	if (p->reply)
		return f->egress_peer == identity ? f->egress_revision : 0;
	return f->ingress_peer == identity ? f->ingress_revision : 0;
}
