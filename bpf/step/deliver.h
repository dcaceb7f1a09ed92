/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The last step into a container. */
#pragma once
#include <linux/pkt_cls.h>
#include "../lib/packet.h"

/* Into the container with that host-side veth. */
STEP int deliver(const struct packet *p, __u32 ifindex)
{
	return p->origin == ORIGIN_STACK ? TC_ACT_OK : bpf_redirect_peer(ifindex, 0);
}
