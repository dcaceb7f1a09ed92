/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Neighbour discovery (RFC 4861), answered like ARP. */
#pragma once
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include "../abi/drop.h"
#include "../lib/bytes.h"
#include "../lib/checksum.h"
#include "../lib/packet.h"

enum neighbour_type {
	NEIGHBOUR_SOLICITATION = 135,
	NEIGHBOUR_ADVERTISEMENT = 136,
};

#define ADVERTISEMENT_FLAGS bpf_htonl(0x60000000) /* solicited, override */

struct neighbour_message {
	__u8 type, code;
	__sum16 checksum;
	__be32 flags;
	struct ip target;
};

struct neighbour_option { /* link-layer address */
	__u8 type, length;
	__u8 mac[6];
};

struct neighbour_frame { /* two bytes first, so that the rest is aligned for the checksum */
	__u8 pad[2];
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct neighbour_message message;
	struct neighbour_option option;
};

#define NEIGHBOUR_FRAME_SIZE (sizeof(struct neighbour_frame) - 2)

struct pseudo_header { /* RFC 8200, 8.1 */
	struct ip src, dst;
	__be32 length, next;
};

STEP int on_subnet6(const struct container *c, const struct ip *addr)
{
	__u32 bits = c->subnet6_bits, differ = 0;

	for (int i = 0; i < 4; i++) {
		differ |= (addr->w[i] ^ c->subnet6.w[i]) & mask_word(bits);
		bits = bits > 32 ? bits - 32 : 0;
	}
	return !differ;
}

STEP int is_link_local(const struct ip *addr)
{
	return bpf_ntohl(addr->w[0]) >> 22 == 0xfe80 >> 6;
}

/* Writes the advertisement of target, by host_mac, to the station that asked. */
RARE int advertise(struct __sk_buff *skb, struct packet *p, struct container *c, struct ip *target)
{
	struct neighbour_frame f = {};
	struct pseudo_header pseudo = {};
	__s64 sum;

	if (!p || !c || !target || bpf_skb_change_tail(skb, NEIGHBOUR_FRAME_SIZE, 0))
		return -DROP_REWRITE;
	mac_write(f.eth.h_dest, c->mac);
	mac_write(f.eth.h_source, c->host_mac);
	f.eth.h_proto = bpf_htons(ETH_P_IPV6);
	f.ip.version = 6;
	f.ip.payload_len = bpf_htons(sizeof(f.message) + sizeof(f.option));
	f.ip.nexthdr = IPPROTO_ICMPV6;
	f.ip.hop_limit = 255;
	__builtin_memcpy(&f.ip.saddr, target, 16);
	__builtin_memcpy(&f.ip.daddr, &p->src, 16);
	f.message.type = NEIGHBOUR_ADVERTISEMENT;
	f.message.flags = ADVERTISEMENT_FLAGS;
	f.message.target = *target;
	f.option.type = 2;
	f.option.length = 1;
	mac_write(f.option.mac, c->host_mac);
	pseudo.src = *target;
	pseudo.dst = p->src;
	pseudo.length = bpf_htonl(sizeof(f.message) + sizeof(f.option));
	pseudo.next = bpf_htonl(IPPROTO_ICMPV6);
	sum = bpf_csum_diff(0, 0, (void *)&pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(0, 0, (void *)&f.message, sizeof(f.message) + sizeof(f.option), sum);
	f.message.checksum = checksum_fold(sum);
	if (bpf_skb_store_bytes(skb, 0, &f.eth, NEIGHBOUR_FRAME_SIZE, 0))
		return -DROP_REWRITE;
	return bpf_redirect_peer(c->ifindex, 0);
}

/* What the container sends. Solicitations of any address of the subnet, or of the gateway, but its own are answered;
 * duplicate address detection (no source) gets nothing; its advertisements of its own address go to the host; router
 * messages go nowhere. Answers the TC action or the negative drop reason. */
RARE int neighbour_from_container(struct __sk_buff *skb, struct packet *p, struct container *c)
{
	struct neighbour_message m;
	unsigned char dest[6];

	if (!p || !c || !c->ipv6)
		return -DROP_FAMILY_OFF;
	if (p->ttl != 255 || p->icmp_code || p->l4 != ETH_HLEN + sizeof(struct ipv6hdr))
		return -DROP_INVALID;
	if (p->icmp_type != NEIGHBOUR_SOLICITATION && p->icmp_type != NEIGHBOUR_ADVERTISEMENT)
		return -DROP_MULTICAST;
	if (bpf_skb_load_bytes(skb, p->l4, &m, sizeof(m)) || bpf_skb_load_bytes(skb, 0, dest, 6))
		return -DROP_INVALID;
	if (ip_is_zero(&p->src))
		return -DROP_MULTICAST;
	if (!ip_equal(&p->src, &c->address6) && !is_link_local(&p->src))
		return -DROP_SPOOFED_IP;
	if (p->icmp_type == NEIGHBOUR_ADVERTISEMENT) {
		if (mac_number(dest) != c->host_mac)
			return -DROP_MULTICAST;
		return ip_equal(&m.target, &c->address6) ? TC_ACT_OK : -DROP_SPOOFED_IP;
	}
	if (ip_equal(&m.target, &c->address6) || ip_is_zero(&m.target) || m.target.w[0] >> 24 == 0xff)
		return -DROP_MULTICAST;
	if (!on_subnet6(c, &m.target) && !ip_equal(&m.target, &c->gateway6))
		return -DROP_MULTICAST;
	return advertise(skb, p, c, &m.target);
}

/* What the host's stack sends to the container: it may ask and answer, and not pose as a router. */
STEP int neighbour_to_container(const struct packet *p)
{
	if (p->origin != ORIGIN_STACK || p->ttl != 255)
		return -DROP_INVALID;
	if (p->icmp_type == NEIGHBOUR_SOLICITATION || p->icmp_type == NEIGHBOUR_ADVERTISEMENT)
		return TC_ACT_OK;
	return -DROP_MULTICAST;
}
