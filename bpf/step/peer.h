/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who the other end is. */
#pragma once
#include "../lib/packet.h"
#include "../map/endpoints.h"

/* Says who has an address: fills p->peer_*. */
STEP void look_up_peer(struct packet *p, const struct ip *addr)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, addr);

	if (!e) {
		p->peer_kind = PEER_WORLD;
		p->peer_identity = IDENTITY_WORLD;
		p->peer_network = 0;
		return;
	}
	p->peer_kind = e->flags & ENDPOINT_HOST ? PEER_HOST : PEER_CONTAINER;
	p->peer_identity = e->identity;
	p->peer_network = e->network;
	p->peer_slot = e->slot;
}
