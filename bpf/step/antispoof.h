/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A container speaks with its own addresses only. */
#pragma once
#include <linux/if_ether.h>
#include "../abi/drop.h"
#include "../lib/bytes.h"
#include "../lib/packet.h"

/* The frame's source is the container, whose MAC that is. */
STEP int antispoof_mac(struct __sk_buff *skb, __u64 mac)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return DROP_INVALID;
	if (*(__u32 *)eth->h_source != (__u32)mac || *(__u16 *)(eth->h_source + 4) != (__u16)(mac >> 32))
		return DROP_SPOOFED_MAC;
	return 0;
}
