/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ICMP errors that a router owes to a sender, made from the packet in hand (RFC 1812, 4.3.2; RFC 4443, 2.4). */
#pragma once
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include "../abi/drop.h"
#include "../lib/bytes.h"
#include "../lib/checksum.h"
#include "../lib/icmp.h"
#include "../map/icmp_budget.h"
#include "../map/hand.h"
#include "fate.h"
#include "../lib/packet.h"

#define ICMP_ERRORS_RATE 200  /* a second and processor, and at once */
#define ICMP_QUOTE_MAX 512    /* bytes of the packet that an error quotes; IPv4 errors stay below 576 (RFC 1812) */
#define ICMP_ERROR_HLEN 8

enum icmp_answer {
	ANSWER_HOST_UNREACHABLE = 1, /* IPv4 3/1, IPv6 1/3 */
	ANSWER_TIME_EXCEEDED = 2,    /* 11/0, 3/0 */
	ANSWER_TOO_BIG = 3,          /* 3/4, 2/0; needs mtu */
	ANSWER_PROHIBITED = 4,       /* 3/13, 1/1 */
	ANSWER_NET_UNREACHABLE = 5,  /* 3/0, 1/0 */
};

/* An ICMP error's header; the word means what the type says. */
struct icmp_error_header {
	__u8 type, code;
	__sum16 sum;
	__be32 word;
};

/* Headers of an error, for both families. */
struct error_headers {
	union {
		struct {
			struct iphdr ip4;
			struct icmp_error_header icmp4;
		};
		struct {
			struct ipv6hdr ip6;
			struct icmp_error_header icmp6;
		};
	};
};

STEP int icmp_allowed(void)
{
	const __u64 second = 1000000000;
	__u64 time = bpf_ktime_get_coarse_ns();
	__u32 zero = 0;
	struct budget *b = bpf_map_lookup_elem(&icmp_budget, &zero);

	if (!b)
		return 0;
	if (time - b->refilled >= second) {
		b->left = ICMP_ERRORS_RATE;
		b->refilled = time;
	}
	if (!b->left) {
		b->lost++;
		return 0;
	}
	b->left--;
	return 1;
}

/* Type and code: upper and lower byte. */
STEP __u32 icmp_kind(const struct packet *p, enum icmp_answer answer)
{
	int v4 = p->family == 4;

	switch (answer) {
	case ANSWER_HOST_UNREACHABLE:
		return v4 ? ICMP_DEST_UNREACH << 8 | 1 : ICMPV6_DEST_UNREACH << 8 | ICMPV6_ADDR_UNREACH;
	case ANSWER_TIME_EXCEEDED:
		return v4 ? ICMP_TIME_EXCEEDED << 8 : ICMPV6_TIME_EXCEED << 8;
	case ANSWER_TOO_BIG:
		return v4 ? ICMP_DEST_UNREACH << 8 | 4 : ICMPV6_PKT_TOOBIG << 8;
	case ANSWER_PROHIBITED:
		return v4 ? ICMP_DEST_UNREACH << 8 | 13 : ICMPV6_DEST_UNREACH << 8 | ICMPV6_ADM_PROHIBITED;
	case ANSWER_NET_UNREACHABLE:
		return v4 ? ICMP_DEST_UNREACH << 8 : ICMPV6_DEST_UNREACH << 8 | ICMPV6_NOROUTE;
	}
	return 0;
}

/* What is left of the packet to be quoted, and the sum of what was. */
struct quotation {
	__u32 offset, length, sum;
};

/* Adds up to 64 bytes. What the last chunk lacks are zeros, which add nothing. 0 to go on. */
RARE int quote_chunk(struct __sk_buff *skb, struct quotation *q)
{
	__u32 chunk[16] = {}, size;

	if (!q || !q->length)
		return 1;
	size = q->length < 64 ? q->length : 64;
	opaque(size);
	size = ((size - 1) & 63) + 1; /* 1 to 64, as it is; the verifier of Linux 6.1 forgets that it is not 0 */
	if (bpf_skb_load_bytes(skb, q->offset, chunk, size))
		return 1;
	q->sum = bpf_csum_diff(0, 0, chunk, 64, q->sum);
	q->offset += size;
	q->length -= size;
	return 0;
}

/* The sum of length bytes, at most ICMP_QUOTE_MAX, of the packet from offset on. */
STEP __u32 quote_sum(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	struct quotation q = { .offset = offset, .length = length };

	for (int i = 0; i < ICMP_QUOTE_MAX / 64; i++)
		if (quote_chunk(skb, &q))
			break;
	return q.sum;
}

STEP void error_ipv4(struct error_headers *h, const struct hand *hand, __u32 length, __u32 kind, __u32 mtu, __u32 sum)
{
	h->ip4.version = 4;
	h->ip4.ihl = 5;
	h->ip4.tos = 0xc0; /* internetwork control, as Linux marks its errors (RFC 1812, 4.3.2.5) */
	h->ip4.tot_len = bpf_htons(sizeof(h->ip4) + ICMP_ERROR_HLEN + length);
	h->ip4.ttl = 64;
	h->ip4.protocol = IPPROTO_ICMP;
	h->ip4.saddr = hand->container.gateway4;
	h->ip4.daddr = hand->packet.src.w[3];
	h->ip4.check = checksum_fold(bpf_csum_diff(0, 0, (__be32 *)&h->ip4, sizeof(h->ip4), 0));
	h->icmp4.type = kind >> 8;
	h->icmp4.code = kind;
	h->icmp4.word = bpf_htonl(mtu & 0xffff); /* RFC 1191 */
	h->icmp4.sum = checksum_fold(bpf_csum_diff(0, 0, (__be32 *)&h->icmp4, sizeof(h->icmp4), sum));
}

STEP void error_ipv6(struct error_headers *h, const struct hand *hand, __u32 length, __u32 kind, __u32 mtu, __u32 sum)
{
	__be32 pseudo[2] = { bpf_htonl(ICMP_ERROR_HLEN + length), bpf_htonl(IPPROTO_ICMPV6) };

	h->ip6.version = 6;
	h->ip6.payload_len = bpf_htons(ICMP_ERROR_HLEN + length);
	h->ip6.nexthdr = IPPROTO_ICMPV6;
	h->ip6.hop_limit = 64;
	__builtin_memcpy(&h->ip6.saddr, &hand->container.gateway6, sizeof(h->ip6.saddr));
	__builtin_memcpy(&h->ip6.daddr, &hand->packet.src, sizeof(h->ip6.daddr));
	h->icmp6.type = kind >> 8;
	h->icmp6.code = kind;
	h->icmp6.word = bpf_htonl(mtu);
	sum = bpf_csum_diff(0, 0, (__be32 *)&h->ip6.saddr, 32, sum);
	sum = bpf_csum_diff(0, 0, pseudo, sizeof(pseudo), sum);
	h->icmp6.sum = checksum_fold(bpf_csum_diff(0, 0, (__be32 *)&h->icmp6, sizeof(h->icmp6), sum));
}

/* Puts the headers before the packet's own, which becomes the quotation. 0 or DROP_REWRITE. */
STEP int write_error(struct __sk_buff *skb, const struct hand *hand, struct error_headers *h, __u32 size)
{
	unsigned char mac[12];

	if (bpf_skb_adjust_room(skb, size, BPF_ADJ_ROOM_MAC, 0))
		return DROP_REWRITE;
	if (hand->packet.family == 4 ? bpf_skb_store_bytes(skb, ETH_HLEN, h, sizeof(h->ip4) + ICMP_ERROR_HLEN, 0) :
			     bpf_skb_store_bytes(skb, ETH_HLEN, h, sizeof(h->ip6) + ICMP_ERROR_HLEN, 0))
		return DROP_REWRITE;
	mac_write(mac, hand->container.mac);
	mac_write(mac + 6, hand->container.host_mac);
	return bpf_skb_store_bytes(skb, 0, mac, sizeof(mac), 0) ? DROP_REWRITE : 0;
}

/* Whether an error may be sent about p at all. */
STEP int deserves_error(const struct packet *p, const struct container *c)
{
	if (p->fragment == FRAGMENT_LATER || p->icmp_error)
		return 0;
	return p->family == 4 ? c->gateway4 != 0 : !ip_is_zero(&c->gateway6);
}

/* Turns the packet in hand into the ICMP error, from the gateway to its sender, and redirects it to the
 * container. None is made for later fragments, for ICMP errors, or beyond the rate limit.
 * Answers the TC action (the drop of the packet is then counted and told), or the negative reason if none was made. */
RARE int send_icmp_error(struct __sk_buff *skb, struct hand *hand, enum icmp_answer answer, __u32 mtu)
{
	struct error_headers h = {};
	__u32 length, kind, sum;
	struct packet *p;
	int reason;

	if (!hand)
		return -DROP_INVALID;
	p = &hand->packet;
	reason = answer == ANSWER_TOO_BIG ? DROP_TOO_BIG : answer == ANSWER_TIME_EXCEEDED ? DROP_TTL :
		 answer == ANSWER_HOST_UNREACHABLE ? DROP_NO_ENDPOINT : DROP_NO_ROUTE;
	kind = icmp_kind(p, answer);
	if (!kind || !deserves_error(p, &hand->container) || skb->len < p->l3 || !icmp_allowed())
		return -reason;
	p->refused = 1;
	count(DIRECTION_EGRESS, reason, skb->len);
	tell_drop(skb, p, reason);
	length = skb->len - p->l3;
	if (length > ICMP_QUOTE_MAX)
		length = ICMP_QUOTE_MAX;
	if (skb->len != p->l3 + length && bpf_skb_change_tail(skb, p->l3 + length, 0))
		return -reason;
	sum = quote_sum(skb, p->l3, length);
	if (p->family == 4)
		error_ipv4(&h, hand, length, kind, mtu, sum);
	else
		error_ipv6(&h, hand, length, kind, mtu, sum);
	if (write_error(skb, hand, &h, p->family == 4 ? sizeof(h.ip4) + ICMP_ERROR_HLEN :
						     sizeof(h.ip6) + ICMP_ERROR_HLEN))
		return -reason;
	return bpf_redirect_peer(hand->container.ifindex, 0);
}
