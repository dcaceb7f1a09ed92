/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The host-side veth answers ARP for the whole subnet (RFC 826), so that every frame comes to it. */
#pragma once
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include "../abi/drop.h"
#include "../lib/bytes.h"
#include "../lib/packet.h"

enum arp { /* <linux/if_arp.h> wants a C library */
	ARP_ETHERNET = 1,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
};

struct arp_ipv4 {
	__be16 hardware, protocol;
	__u8 hardware_size, protocol_size;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender[4];
	__u8 target_mac[6];
	__u8 target[4];
} __attribute__((packed));

struct arp_frame {
	struct ethhdr eth;
	struct arp_ipv4 arp;
} __attribute__((packed));

STEP __be32 arp_address(const __u8 *bytes)
{
	__be32 addr;

	__builtin_memcpy(&addr, bytes, sizeof(addr)); /* byte by byte: it is not aligned */
	return addr;
}

STEP int on_subnet4(const struct container *c, __be32 addr)
{
	return c->address4 && !((addr ^ c->subnet4) & mask_word(c->subnet4_bits));
}

/* What the container sends. Requests for any address of the subnet but its own are answered with host_mac; probes and
 * announcements (RFC 5227) ask nothing and get nothing; its own replies go to the host.
 * Answers the TC action or the negative drop reason. */
RARE int arp_from_container(struct __sk_buff *skb, struct container *c)
{
	struct arp_frame f;
	__u8 target[4];

	if (!c || !c->ipv4 || bpf_skb_load_bytes(skb, 0, &f, sizeof(f)))
		return -DROP_INVALID;
	if (f.arp.hardware != bpf_htons(ARP_ETHERNET) || f.arp.protocol != bpf_htons(ETH_P_IP) ||
	    f.arp.hardware_size != 6 || f.arp.protocol_size != 4)
		return -DROP_INVALID;
	if (mac_number(f.arp.sender_mac) != c->mac)
		return -DROP_SPOOFED_MAC;
	if (arp_address(f.arp.sender) && arp_address(f.arp.sender) != c->address4)
		return -DROP_SPOOFED_IP;
	if (f.arp.operation == bpf_htons(ARP_REPLY))
		return mac_number(f.eth.h_dest) == c->host_mac && arp_address(f.arp.sender) ? TC_ACT_OK : -DROP_MULTICAST;
	if (f.arp.operation != bpf_htons(ARP_REQUEST))
		return -DROP_INVALID;
	if (!arp_address(f.arp.sender) || arp_address(f.arp.target) == c->address4 ||
	    !on_subnet4(c, arp_address(f.arp.target)))
		return -DROP_MULTICAST;
	__builtin_memcpy(target, f.arp.target, 4);
	__builtin_memcpy(f.eth.h_dest, f.arp.sender_mac, 6);
	__builtin_memcpy(f.arp.target_mac, f.arp.sender_mac, 6);
	__builtin_memcpy(f.arp.target, f.arp.sender, 4);
	__builtin_memcpy(f.arp.sender, target, 4);
	mac_write(f.eth.h_source, c->host_mac);
	mac_write(f.arp.sender_mac, c->host_mac);
	f.arp.operation = bpf_htons(ARP_REPLY);
	if (bpf_skb_store_bytes(skb, 0, &f, sizeof(f), 0))
		return -DROP_REWRITE;
	return bpf_redirect_peer(c->ifindex, 0);
}
