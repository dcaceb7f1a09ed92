/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From bytes to struct packet: the headers of nearly all packets. */
#pragma once
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include "../abi/drop.h"
#include "../lib/bytes.h"
#include "../lib/packet.h"
#include "parse_icmp.h"

/* The transport header at l4, behind which the datagram has so many bytes. */
STEP int parse_near(struct packet *p, void *l4, void *data_end, __u32 length)
{
	struct tcphdr *tcp = l4;
	__be16 *h = l4;

	if (likely(p->proto == IPPROTO_TCP)) {
		if ((void *)(tcp + 1) > data_end || tcp->doff < 5 || tcp->doff * 4 > length)
			return DROP_INVALID;
		p->sport = tcp->source;
		p->dport = tcp->dest;
		p->tcp_flags = ((__u8 *)tcp)[13];
		return 0;
	}
	if (p->proto != IPPROTO_UDP && p->proto != IPPROTO_ICMP && p->proto != IPPROTO_ICMPV6)
		return PARSED_FAR;
	if ((void *)(h + 4) > data_end || length < 8)
		return DROP_INVALID;
	if (p->proto == IPPROTO_UDP) {
		p->sport = h[0];
		p->dport = h[1];
		return 0;
	}
	if ((p->proto == IPPROTO_ICMP) != (p->family == 4))
		return DROP_INVALID;
	return parse_icmp(p, ((__u8 *)h)[0], ((__u8 *)h)[1], h[2]);
}

STEP int parse_ipv4(struct __sk_buff *skb, struct packet *p, void *data, void *data_end)
{
	struct iphdr *ip = data + ETH_HLEN;
	__u32 length;

	if ((void *)(ip + 1) > data_end || ip->version != 4)
		return DROP_INVALID;
	p->family = 4;
	p->proto = ip->protocol;
	p->ttl = ip->ttl;
	p->l3 = ETH_HLEN;
	p->l4 = ETH_HLEN + sizeof(*ip);
	ip_from_v4(&p->src, ip->saddr);
	ip_from_v4(&p->dst, ip->daddr);
	if (unlikely(ip->ihl != 5 || ip->frag_off & bpf_htons(IP_OFFSET_BITS | IP_MORE)))
		return PARSED_FAR;
	length = bpf_ntohs(ip->tot_len);
	if (unlikely(!length)) /* larger than the field: a segmentation offload of the stack's own making */
		length = skb->len > 0xffff ? skb->len - ETH_HLEN : 0;
	if (length + ETH_HLEN > skb->len || length < sizeof(*ip))
		return DROP_INVALID;
	return parse_near(p, ip + 1, data_end, length - sizeof(*ip));
}

STEP int parse_ipv6(struct __sk_buff *skb, struct packet *p, void *data, void *data_end)
{
	struct ipv6hdr *ip = data + ETH_HLEN;
	__u32 length;

	if ((void *)(ip + 1) > data_end || ip->version != 6)
		return DROP_INVALID;
	p->family = 6;
	p->proto = ip->nexthdr;
	p->ttl = ip->hop_limit;
	p->l3 = ETH_HLEN;
	p->l4 = ETH_HLEN + sizeof(*ip);
	__builtin_memcpy(&p->src, &ip->saddr, sizeof(p->src));
	__builtin_memcpy(&p->dst, &ip->daddr, sizeof(p->dst));
	length = bpf_ntohs(ip->payload_len);
	if (unlikely(!length) && p->proto == IPPROTO_TCP && skb->len > 0xffff) /* likewise */
		length = skb->len - ETH_HLEN - sizeof(*ip);
	if (length + ETH_HLEN + sizeof(*ip) > skb->len)
		return DROP_INVALID;
	return parse_near(p, ip + 1, data_end, length);
}

/* Fills p. Answers 0 for IP, PARSED_ARP, PARSED_FAR, or the drop reason. Headers are read and never written through packet
 * pointers: a program that writes so gets a prologue that copies every cloned packet, and TCP's are clones. */
STEP int parse_frame(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	__u32 headers = skb->protocol == bpf_htons(ETH_P_IPV6) ? 74 : 54;
	struct ethhdr *eth;

	if (skb->vlan_present)
		return DROP_VLAN;
	if (unlikely(data + headers > data_end)) {
		if (headers > skb->len)
			headers = skb->len;
		if (data_end - data < headers && bpf_skb_pull_data(skb, headers))
			return DROP_INVALID;
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
	}
	eth = data;
	if ((void *)(eth + 1) > data_end)
		return DROP_INVALID;
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		return parse_ipv4(skb, p, data, data_end);
	case bpf_htons(ETH_P_IPV6):
		return parse_ipv6(skb, p, data, data_end);
	case bpf_htons(ETH_P_ARP):
		return PARSED_ARP;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return DROP_VLAN;
	}
	return DROP_NOT_IP;
}
