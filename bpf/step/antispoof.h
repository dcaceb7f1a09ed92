/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A container speaks with its own addresses only. */
#pragma once
#include <linux/if_ether.h>
#include "../abi/config.h"
#include "../abi/drop.h"
#include "../lib/bytes.h"
#include "packet.h"

/* The frame's source is the container. */
STEP int antispoof_mac(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return DROP_INVALID;
	if (*(__u32 *)eth->h_source != (__u32)CONTAINER_MAC || *(__u16 *)(eth->h_source + 4) != (__u16)(CONTAINER_MAC >> 32))
		return DROP_SPOOFED_MAC;
	return 0;
}

/* The packet's source is the container's address of its family. */
STEP int antispoof_ip(const struct packet *p)
{
	if (p->family == 4) {
		if (!FEATURE_IPV4)
			return DROP_FAMILY_OFF;
		return p->src.w[3] == ADDRESS4.w[3] ? 0 : DROP_SPOOFED_IP;
	}
	if (!FEATURE_IPV6)
		return DROP_FAMILY_OFF;
	return ip_is_constant(&p->src, &ADDRESS6) ? 0 : DROP_SPOOFED_IP;
}
