/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Parsing off the fast path: rare transports, IPv4 options, IPv6 extension headers, fragments. Headers are copied out of
 * the packet, wherever they lie. */
#pragma once
#include "../lib/icmp.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include "../abi/drop.h"
#include "../lib/bytes.h"
#include "../lib/packet.h"
#include "parse.h"

#define PARSED_ALL (-2)     /* answer of a walk's step: it is over */
#define IPV4_OPTIONS_MAX 12 /* options that are walked */
#define IPV6_HEADERS_MAX 8  /* extension headers that are walked */

STEP int has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP || proto == IPPROTO_UDPLITE;
}

/* The transport header wherever it is; end is where the datagram ends, so that padding is not read as a header. */
RARE int parse_transport(struct __sk_buff *skb, struct packet *p, __u32 end)
{
	unsigned char h[20];
	__u32 l4;

	if (!p)
		return DROP_INVALID;
	l4 = p->l4;
	if (p->fragment == FRAGMENT_LATER)
		return l4 > end ? DROP_INVALID : 0;
	if (p->proto == IPPROTO_TCP) {
		if (l4 + 20 > end || bpf_skb_load_bytes(skb, l4, h, 20))
			return DROP_INVALID;
		if ((h[12] >> 4) < 5 || l4 + (h[12] >> 4) * 4 > end)
			return DROP_INVALID;
		p->tcp_flags = h[13];
	} else if (has_ports(p->proto) || p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6) {
		if (l4 + 8 > end || bpf_skb_load_bytes(skb, l4, h, 8))
			return DROP_INVALID;
	} else {
		return 0;
	}
	if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6) {
		if ((p->proto == IPPROTO_ICMP) != (p->family == 4))
			return DROP_INVALID;
		return parse_icmp(p, h[0], h[1], *(__be16 *)(h + 4));
	}
	p->sport = *(__be16 *)h;
	p->dport = *(__be16 *)(h + 2);
	return 0;
}

struct option_walk {
	__u32 at, end;
};

/* One step over the IPv4 options. 0 goes on, PARSED_ALL ends the walk, else the drop reason. Source routing is refused
 * (RFC 7126, 4.3 and 4.4). */
RARE int next_option(struct __sk_buff *skb, struct option_walk *w)
{
	unsigned char option[2];

	if (!w || bpf_skb_load_bytes(skb, w->at, option, 1))
		return DROP_INVALID;
	if (option[0] <= 1) { /* end of the list, no operation */
		w->at++;
		return option[0] && w->at < w->end ? 0 : PARSED_ALL;
	}
	if (option[0] == 131 || option[0] == 137)
		return DROP_EXTENSION;
	if (bpf_skb_load_bytes(skb, w->at, option, 2) || option[1] < 2 || w->at + option[1] > w->end)
		return DROP_INVALID;
	w->at += option[1];
	return w->at < w->end ? 0 : PARSED_ALL;
}

/* IPv4 with options, in fragments, or with a rare transport. */
RARE int parse_ipv4_far(struct __sk_buff *skb, struct packet *p)
{
	struct option_walk w = {.at = ETH_HLEN + sizeof(struct iphdr)};
	struct iphdr ip;
	int walked = 0;
	__u32 end;

	if (!p || bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return DROP_INVALID;
	p->l4 = w.end = ETH_HLEN + ip.ihl * 4;
	end = ETH_HLEN + bpf_ntohs(ip.tot_len);
	if (ip.ihl < 5 || end < p->l4 || end > skb->len)
		return DROP_INVALID;
	for (int i = 0; i < IPV4_OPTIONS_MAX && !walked && ip.ihl > 5; i++)
		walked = next_option(skb, &w);
	if (ip.ihl > 5 && walked != PARSED_ALL)
		return walked ? walked : DROP_EXTENSION;
	if (ip.frag_off & bpf_htons(IP_OFFSET_BITS | IP_MORE)) {
		p->fragment_id = ip.id;
		p->fragment = ip.frag_off & bpf_htons(IP_OFFSET_BITS) ? FRAGMENT_LATER : FRAGMENT_FIRST;
		/* The second eight bytes of a TCP header hold its flags (RFC 1858). */
		if (p->proto == IPPROTO_TCP && (ip.frag_off & bpf_htons(IP_OFFSET_BITS)) == bpf_htons(1))
			return DROP_INVALID;
	}
	return parse_transport(skb, p, end);
}

struct header_walk {
	__u32 at, end;
	__u32 next;     /* number of the header at at */
	__u32 fragment; /* enum fragment_part */
	__be32 fragment_id;
};

/* One step over the extension headers (RFC 8200, 4). 0 goes on; PARSED_ALL: next is a transport, or the payload of a
 * later fragment; else the drop reason. A type 0 routing header is refused (RFC 5095). */
RARE int next_header(struct __sk_buff *skb, struct header_walk *w)
{
	unsigned char h[8];
	__u32 next;

	if (!w)
		return DROP_INVALID;
	next = w->next;
	if (next == IPPROTO_AH || next == IPPROTO_MH)
		return DROP_EXTENSION;
	if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT)
		return PARSED_ALL;
	if (w->at + 8 > w->end || bpf_skb_load_bytes(skb, w->at, h, 8) || h[0] == IPPROTO_HOPOPTS)
		return DROP_INVALID; /* hop-by-hop options come first or not at all */
	w->next = h[0];
	if (next != IPPROTO_FRAGMENT) {
		w->at += (h[1] + 1) * 8;
		return next == IPPROTO_ROUTING && !h[2] ? DROP_EXTENSION : 0;
	}
	if (w->fragment)
		return DROP_INVALID;
	w->at += 8;
	w->fragment_id = *(__be32 *)(h + 4);
	if (h[2] | (h[3] & 0xf8)) {
		w->fragment = FRAGMENT_LATER;
		return PARSED_ALL;
	}
	w->fragment = h[3] & 1 ? FRAGMENT_FIRST : FRAGMENT_NO;
	return 0;
}

/* IPv6 with extension headers or a rare transport. */
RARE int parse_ipv6_far(struct __sk_buff *skb, struct packet *p)
{
	struct header_walk w = {.at = ETH_HLEN + sizeof(struct ipv6hdr)};
	__be16 payload;
	int walked = 0;

	if (!p || bpf_skb_load_bytes(skb, ETH_HLEN + 4, &payload, 2))
		return DROP_INVALID;
	w.next = p->proto;
	w.end = payload ? w.at + bpf_ntohs(payload) : skb->len;
	if (!payload && w.next != IPPROTO_HOPOPTS) /* with it: a jumbogram of the stack's own making */
		return w.next == IPPROTO_NONE ? 0 : DROP_INVALID;
	if (w.end > skb->len)
		return DROP_INVALID;
	for (int i = 0; i < IPV6_HEADERS_MAX && !walked; i++)
		walked = next_header(skb, &w);
	if (walked != PARSED_ALL)
		return walked ? walked : DROP_EXTENSION;
	p->proto = w.next;
	p->l4 = w.at;
	p->fragment = w.fragment;
	p->fragment_id = w.fragment_id;
	return parse_transport(skb, p, w.end);
}

/* What parse_frame left as PARSED_FAR. 0 or the drop reason. */
STEP int parse_far(struct __sk_buff *skb, struct packet *p)
{
	return p->family == 4 ? parse_ipv4_far(skb, p) : parse_ipv6_far(skb, p);
}

/* All of parsing. Answers 0 for IP, PARSED_ARP, or the drop reason. */
RARE int parse(struct __sk_buff *skb, struct packet *p)
{
	int parsed;

	if (!p)
		return DROP_INVALID;
	parsed = parse_frame(skb, p);
	return parsed == PARSED_FAR ? parse_far(skb, p) : parsed;
}
