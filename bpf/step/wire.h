/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a packet is on the wire, after the device has cut it into segments (GSO). */
#pragma once
#include <linux/in.h>
#include <linux/udp.h>
#include "../lib/packet.h"

/* Length of the headers that every segment has, from the IP header on. */
STEP __u32 segment_headers(struct __sk_buff *skb, const struct packet *p)
{
	__u32 headers = p->l4 - p->l3;
	__u8 offset = 0;

	if (p->proto != IPPROTO_TCP)
		return headers + sizeof(struct udphdr);
	bpf_skb_load_bytes(skb, p->l4 + 12, &offset, 1);
	return headers + (offset >> 4) * 4;
}

/* Length of one packet without the Ethernet header: of a segment, if the device is to cut it. */
STEP __u32 segment_length(struct __sk_buff *skb, const struct packet *p)
{
	return skb->gso_size ? segment_headers(skb, p) + skb->gso_size : skb->len - p->l3;
}

/* Length of all packets that this one becomes, without Ethernet headers. */
STEP __u32 wire_length(struct __sk_buff *skb, const struct packet *p)
{
	__u32 length = skb->len - p->l3, size = skb->gso_size, headers;

	if (!size)
		return length;
	headers = segment_headers(skb, p);
	if (length <= headers + size)
		return length;
	return length + (length - headers - 1) / size * headers; /* gso_segs is 0 if the packet is a guest's */
}
