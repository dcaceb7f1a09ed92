/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The packet inside an ICMP error: reading its ends and changing them with all checksums (RFC 5508, 4). */
#pragma once
#include "../lib/checksum.h"
#include "../lib/icmp.h"
#include "../lib/tuple.h"
#include "rewrite.h"

struct inner {
	struct ip src, dst;
	__be16 sport, dport; /* ICMP echo: both the identifier */
	__u16 l3, l4;        /* offsets from the frame's start, bytes */
	__u16 port[2];       /* offsets of the source and the destination port; 0: none */
	__u16 sum;           /* offset of the transport's checksum; 0: none, or cut off */
	__u8 proto;
	__u8 family;
	__be16 new_port;     /* what inner_rewrite writes */
	struct ip new_addr;
};

STEP int inner_ipv4(struct __sk_buff *skb, struct inner *in)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, in->l3, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return DROP_INVALID;
	if (ip.frag_off & bpf_htons(0x1fff)) /* a later fragment names no flow */
		return DROP_ICMP_UNRELATED;
	ip_from_v4(&in->src, ip.saddr);
	ip_from_v4(&in->dst, ip.daddr);
	in->proto = ip.protocol;
	in->l4 = in->l3 + ip.ihl * 4;
	return 0;
}

STEP int inner_ipv6(struct __sk_buff *skb, struct inner *in)
{
	struct ipv6hdr ip;
	__u8 fragment[8];

	if (bpf_skb_load_bytes(skb, in->l3, &ip, sizeof(ip)) || ip.version != 6)
		return DROP_INVALID;
	__builtin_memcpy(&in->src, &ip.saddr, sizeof(in->src));
	__builtin_memcpy(&in->dst, &ip.daddr, sizeof(in->dst));
	in->proto = ip.nexthdr;
	in->l4 = in->l3 + sizeof(ip);
	if (ip.nexthdr != IPPROTO_FRAGMENT)
		return 0;
	if (bpf_skb_load_bytes(skb, in->l4, fragment, sizeof(fragment)))
		return DROP_INVALID;
	if (*(__be16 *)(fragment + 2) & bpf_htons(0xfff8))
		return DROP_ICMP_UNRELATED;
	in->proto = fragment[0];
	in->l4 += sizeof(fragment);
	return 0;
}

/* Whether an inner ICMP message is an echo. Errors about errors do not exist, others belong to no flow. */
STEP int inner_is_echo(const struct inner *in, __u8 type)
{
	if (in->proto == IPPROTO_ICMP)
		return in->family == 4 && (type == ICMP_ECHO || type == ICMP_ECHOREPLY);
	return in->family == 6 && (type == ICMPV6_ECHO_REQUEST || type == ICMPV6_ECHO_REPLY);
}

/* Reads the ends that the first eight bytes of the inner transport name. */
STEP int inner_transport(struct __sk_buff *skb, struct inner *in)
{
	__be16 h[4];
	__u32 sum = 2;

	if (bpf_skb_load_bytes(skb, in->l4, h, sizeof(h)))
		return in->proto == IPPROTO_TCP || in->proto == IPPROTO_UDP ? DROP_INVALID : 0;
	switch (in->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		in->sport = h[0];
		in->dport = h[1];
		in->port[0] = in->l4;
		in->port[1] = in->l4 + 2;
		sum = in->proto == IPPROTO_TCP ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (!inner_is_echo(in, bpf_ntohs(h[0]) >> 8))
			return DROP_ICMP_UNRELATED;
		in->sport = in->dport = h[2];
		in->port[0] = in->port[1] = in->l4 + 4;
		break;
	default:
		return 0;
	}
	if (in->l4 + sum + 2 <= skb->len)
		in->sum = in->l4 + sum;
	return 0;
}

/* Reads the packet inside the ICMP error p. 0 or the drop reason. */
RARE int inner_parse(struct __sk_buff *skb, struct packet *p, struct inner *in)
{
	int reason;

	if (!p || !in)
		return DROP_INVALID;
	__builtin_memset(in, 0, sizeof(*in));
	in->family = p->family;
	in->l3 = p->l4 + 8;
	reason = p->family == 4 ? inner_ipv4(skb, in) : inner_ipv6(skb, in);
	return reason ?: inner_transport(skb, in);
}

/* Adds the change from -> to of a header field to the checksum at offset in the inner packet, and what that changes to
 * the ICMP checksum. */
RARE_LOCAL long inner_sum(struct __sk_buff *skb, __u32 offset, __u32 icmp_sum, __u32 diff)
{
	__be16 old, new;
	long err = bpf_skb_load_bytes(skb, offset, &old, sizeof(old));

	if (err)
		return err;
	diff = (diff & 0xffff) + (diff >> 16);
	new = checksum_fold((__u16)~old + diff);
	err = bpf_l4_csum_replace(skb, icmp_sum, old, new, sizeof(new));
	return err | bpf_skb_store_bytes(skb, offset, &new, sizeof(new), 0);
}

STEP long inner_address(struct __sk_buff *skb, const struct inner *in, enum packet_end end, __u32 icmp_sum,
			struct ip *to, __s64 diff)
{
	long err = bpf_l4_csum_replace(skb, icmp_sum, 0, diff, 0);

	if (in->family == 6)
		return err | bpf_skb_store_bytes(skb, in->l3 + (end == END_SOURCE ? offsetof(struct ipv6hdr, saddr) :
										offsetof(struct ipv6hdr, daddr)),
						 to, sizeof(*to), 0);
	err |= inner_sum(skb, in->l3 + offsetof(struct iphdr, check), icmp_sum, diff);
	return err | bpf_skb_store_bytes(skb, in->l3 + (end == END_SOURCE ? offsetof(struct iphdr, saddr) :
									offsetof(struct iphdr, daddr)),
					 &to->w[3], sizeof(to->w[3]), 0);
}

/* The inner transport's checksum; an absent one of UDP stays so. diff: of the ports and, if it covers them, the
 * addresses. */
STEP long inner_transport_sum(struct __sk_buff *skb, const struct inner *in, __u32 icmp_sum, __u32 diff)
{
	__be16 old;

	if (!in->sum)
		return 0;
	if (bpf_skb_load_bytes(skb, in->sum, &old, sizeof(old)))
		return -1;
	if (!old && in->proto == IPPROTO_UDP)
		return 0;
	return inner_sum(skb, in->sum, icmp_sum, diff);
}

/* Gives one end of the packet inside the ICMP error p the address in->new_addr and the port in->new_port. 0 or
 * DROP_REWRITE. */
RARE int inner_rewrite(struct __sk_buff *skb, struct packet *p, struct inner *in, enum packet_end end)
{
	__be16 old_port, port;
	struct ip from, to;
	__u32 words[2], icmp_sum;
	__s64 diff;
	long err;

	if (!p || !in)
		return DROP_REWRITE;
	icmp_sum = p->l4 + offsetof(struct icmp6hdr, icmp6_cksum);
	to = in->new_addr;
	port = in->new_port;
	from = end == END_SOURCE ? in->src : in->dst;
	old_port = end == END_SOURCE ? in->sport : in->dport;
	diff = bpf_csum_diff(from.w, sizeof(from), to.w, sizeof(to), 0);
	err = inner_address(skb, in, end, icmp_sum, &to, diff);
	if (in->proto == IPPROTO_ICMP) /* its checksum does not cover the addresses */
		diff = 0;
	if (in->port[0] && port != old_port) {
		words[0] = old_port;
		words[1] = port;
		err |= bpf_l4_csum_replace(skb, icmp_sum, old_port, port, sizeof(port));
		err |= bpf_skb_store_bytes(skb, end == END_SOURCE ? in->port[0] : in->port[1], &port, sizeof(port), 0);
		diff = bpf_csum_diff(&words[0], sizeof(words[0]), &words[1], sizeof(words[1]), diff);
	}
	err |= inner_transport_sum(skb, in, icmp_sum, diff);
	return err ? DROP_REWRITE : 0;
}
