/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Changes one end of a packet, its address and port, with every checksum that covers them. */
#pragma once
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include "../abi/drop.h"
#include "../lib/bytes.h"
#include "../lib/icmp.h"
#include "../lib/packet.h"

enum packet_end {
	END_SOURCE = 0,
	END_DESTINATION = 1,
};

/* Where the transport's checksum stands (bytes from its header) and how the helpers treat it. */
struct transport_sum {
	__u32 offset;
	__u32 pseudo; /* BPF_F_PSEUDO_HDR if it covers the addresses, else 0 */
	__u32 flags;
};

/* Answers 0 if the packet in hand carries no checksum that a change of address or port would touch. */
STEP int transport_sum(const struct packet *p, struct transport_sum *s)
{
	s->pseudo = BPF_F_PSEUDO_HDR;
	s->flags = 0;
	if (p->fragment == FRAGMENT_LATER)
		return 0;
	switch (p->proto) {
	case IPPROTO_TCP:
		s->offset = offsetof(struct tcphdr, check);
		return 1;
	case IPPROTO_UDP: /* an absent checksum stays absent, a computed 0 becomes 0xffff */
		s->offset = offsetof(struct udphdr, check);
		s->flags = BPF_F_MARK_MANGLED_0;
		return 1;
	case IPPROTO_ICMPV6:
		s->offset = offsetof(struct icmp6hdr, icmp6_cksum);
		return 1;
	case IPPROTO_ICMP:
		s->offset = offsetof(struct icmp6hdr, icmp6_cksum);
		s->pseudo = 0;
		return 1;
	}
	return 0;
}

STEP int is_echo(const struct packet *p)
{
	if (p->proto == IPPROTO_ICMP)
		return p->icmp_type == ICMP_ECHO || p->icmp_type == ICMP_ECHOREPLY;
	return p->proto == IPPROTO_ICMPV6 &&
	       (p->icmp_type == ICMPV6_ECHO_REQUEST || p->icmp_type == ICMPV6_ECHO_REPLY);
}

/* Offset of the end's port (ICMP echo: of the identifier) in the transport header, or -1. SCTP's ports are left alone:
 * its checksum (CRC32c) cannot be updated by difference. */
STEP int port_offset(const struct packet *p, enum packet_end end)
{
	if (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP)
		return end == END_SOURCE ? 0 : 2;
	return is_echo(p) ? offsetof(struct icmp6hdr, icmp6_identifier) : -1;
}

/* BPF_F_RECOMPUTE_CSUM balances what BPF_F_PSEUDO_HDR does to a checksum that the device computed over the whole IPv6
 * packet (CHECKSUM_COMPLETE): without an IP checksum the two changes must cancel. */
STEP long rewrite_address(struct __sk_buff *skb, const struct packet *p, enum packet_end end, struct ip *from,
			  struct ip *to)
{
	long diff = bpf_csum_diff(from->w, sizeof(*from), to->w, sizeof(*to), 0);
	struct transport_sum s;
	long err = 0;

	if (transport_sum(p, &s) && s.pseudo)
		err = bpf_l4_csum_replace(skb, p->l4 + s.offset, 0, diff, s.flags | s.pseudo);
	if (p->family == 6)
		return err | bpf_skb_store_bytes(skb, p->l3 + (end == END_SOURCE ? offsetof(struct ipv6hdr, saddr) :
								       offsetof(struct ipv6hdr, daddr)),
						 to, sizeof(*to), BPF_F_RECOMPUTE_CSUM);
	err |= bpf_l3_csum_replace(skb, p->l3 + offsetof(struct iphdr, check), 0, diff, 0);
	return err | bpf_skb_store_bytes(skb, p->l3 + (end == END_SOURCE ? offsetof(struct iphdr, saddr) :
							       offsetof(struct iphdr, daddr)),
					 &to->w[3], sizeof(to->w[3]), 0);
}

STEP long rewrite_port(struct __sk_buff *skb, const struct packet *p, enum packet_end end, __be16 from, __be16 to)
{
	int offset = port_offset(p, end);
	struct transport_sum s;
	long err;

	if (offset < 0 || !transport_sum(p, &s))
		return 0;
	err = bpf_l4_csum_replace(skb, p->l4 + s.offset, from, to, s.flags | sizeof(to));
	return err | bpf_skb_store_bytes(skb, p->l4 + offset, &to, sizeof(to), 0);
}

/* Gives one end of the packet (and of p) another address of the same family and another port (network order; ICMP
 * echo: the identifier). Packets without ports, ICMP errors and later fragments only change their address. 0 or
 * DROP_REWRITE. */
RARE int rewrite(struct __sk_buff *skb, struct packet *p, enum packet_end end, struct ip *addr, __u16 port)
{
	struct ip from, to;
	__be16 old_port;
	long err = 0;

	if (!p || !addr)
		return DROP_REWRITE;
	from = end == END_SOURCE ? p->src : p->dst;
	to = *addr;
	old_port = end == END_SOURCE ? p->sport : p->dport;
	if (!ip_equal(&from, &to))
		err = rewrite_address(skb, p, end, &from, &to);
	if (end == END_SOURCE)
		p->src = to;
	else
		p->dst = to;
	if (port != old_port && !p->icmp_error) {
		err |= rewrite_port(skb, p, end, old_port, port);
		if (end == END_SOURCE || is_echo(p))
			p->sport = port;
		if (end == END_DESTINATION || is_echo(p))
			p->dport = port;
	}
	return err ? DROP_REWRITE : 0;
}
