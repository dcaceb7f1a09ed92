/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the steps know of the packet in hand. parse fills it; the translating steps keep it true. */
#pragma once
#include "../abi/types.h"
#include "compiler.h"

enum fragment_part {
	FRAGMENT_NO = 0,
	FRAGMENT_FIRST = 1, /* has the ports */
	FRAGMENT_LATER = 2, /* ports come from the map fragments */
};

/* What shared programs have done for a container's program, each stage after those before it. */
enum stage {
	STAGE_NEW = 0,
	STAGE_PARSED = 1,
	STAGE_FRAGMENT = 2,   /* a fragment has its ports */
	STAGE_TRANSLATED = 3, /* the destination was looked up among the frontends */
};

struct packet {
	struct ip src, dst;  /* as they stand in the packet, v4-mapped */
	__be16 sport, dport; /* ICMP echo: both the identifier; none: 0 */
	__u8 family;         /* 4 or 6; 0 if not IP */
	__u8 proto;          /* of the transport, extension headers skipped */
	__u8 tcp_flags;      /* the thirteenth byte of the TCP header */
	__u8 ttl;
	__u8 icmp_type, icmp_code;
	__u8 icmp_error;     /* 1: an ICMP error, whose inner packet names the flow */
	__u8 neighbour;      /* 1: a neighbour discovery or router message (RFC 4861) */
	__u8 fragment;       /* enum fragment_part */
	__u8 direction;      /* enum direction of the program */
	__u8 reply;          /* 1: a reply of a known flow */
	__u8 origin;         /* enum origin */
	__u8 news;           /* enum event_cause: why it is worth telling, 0: it is not */
	__u8 refused;        /* 1: an ICMP error took the packet's place, and the drop was counted */
	__u8 stage;          /* enum stage */
	__u8 judged;         /* enum judged */
	__u16 l3, l4;        /* offsets from the frame's start, bytes */
	__be32 fragment_id;  /* IPv4: 16 bits in network order, the rest 0 */
	__u32 rule;          /* that gave the last verdict, 1-based; 0: none */
	__u32 slot;          /* of the container whose program has the packet, and the revision of that program */
	__u32 revision;
	__u32 peer_identity; /* the peer is the other end, seen from the container of this program */
	__u32 peer_network;
	__u32 peer_slot;
	__u32 peer_kind;     /* enum peer_kind */
	__u32 judgement;     /* what the flow is to remember of it */
	__be16 frontend;     /* a flow by a published port: the host's port that the client named */
	__u8 side;           /* enum policy_side of the policy that was asked last, 0: none */
	__u8 denied;         /* the drop reason that this policy gave and that is not enforced, 0: none */
	__u16 capture;       /* bytes of it to capture, 0: none; known to the shared programs, as level is */
	__u8 level;          /* enum level of the container */
	__u8 pad;
};

enum peer_kind {
	PEER_WORLD = 0,
	PEER_HOST = 1,
	PEER_CONTAINER = 2,
};

enum tcp_flag {
	TCP_FIN = 1 << 0,
	TCP_SYN = 1 << 1,
	TCP_RST = 1 << 2,
	TCP_ACK = 1 << 4,
};

/* What a packet's translation adds to its flow when that is entered. */
struct translation {
	struct ip dnat_addr; /* the destination that the initiator used */
	__be16 dnat_port;
	__u16 pad;
	__u32 flags;         /* FLOW_DNAT, FLOW_HAIRPIN, or 0: nothing was translated */
};

/* What the shared programs know of the container whose program gave them the packet: its constants. */
struct container {
	__u64 mac, host_mac;
	struct ip address6, gateway6, subnet6;
	__be32 address4, gateway4, subnet4; /* 0: none */
	__u32 identity, network, ifindex;
	__u8 subnet4_bits, subnet6_bits;
	__u8 ipv4, ipv6, internal, masquerade, rate_egress, rate_ingress; /* the features of these names */
};
