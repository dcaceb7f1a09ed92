/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Structs that the programs and Go share. Go's copies (internal/abi) are generated from the objects' BTF;
 * a test compares sizes and offsets. All addresses are v4-mapped (RFC 4291, 2.5.5.2) and in network order. */
#pragma once
#include <linux/types.h>

/* Sizes of the maps whose keys are numbers. */
enum limits {
	SLOTS_MAX = 4096, /* containers on one host */
	DIRECTIONS = 3,
};

/* Directions, as the counters see them. */
enum direction {
	DIRECTION_EGRESS = 0,  /* from a container */
	DIRECTION_INGRESS = 1, /* to a container */
	DIRECTION_UPLINK = 2,  /* from or to an uplink */
};

/* Where a packet came from before a tail call: skb->cb[0]. cb[1] is the identity and cb[2] the network of the sender,
 * valid unless the origin is the stack. cb[3] is the receiver's revision under which the receiver's program allowed this
 * very flow and sender, 0 if it did not or if the packet needs more than to be delivered. cb[4] is the version of the
 * shared program that gives the packet back (step/hand.h). The doors zero all five, so no packet can ask or answer. */
enum origin {
	ORIGIN_STACK = 0,
	ORIGIN_CONTAINER = 1,
	ORIGIN_UPLINK = 2,
	ORIGIN_NEWS_SHIFT = 16, /* above: enum event_cause of what the program before saw and did not tell */
};

/* In skb->cb[0] beside the origin: a test run of a loaded program, which judges the packet and does nothing else. The packet
 * is as after translation.
 * The question: cb[0] is origin | EXPLAIN_QUESTION | the published port by which the packet came << 16 (in host order, 0:
 * none); cb[1] and cb[2] as ever, cb[3] and cb[4] 0.
 * The answer: cb[0] is EXPLAIN_ANSWER | enum enforcement | enum policy_class of the peer << 16 | enum policy_side that was
 * decided << 24; EXPLAIN_PASSES too where a denying policy would be let through; cb[1] the drop reason, as if the policy
 * were enforced, or 0; cb[2] the rule that decided; cb[3] the revision; cb[4] the identity of the peer. */
enum explain {
	EXPLAIN_QUESTION = 1 << 8,
	EXPLAIN_ANSWER = 1 << 9,
	EXPLAIN_MASK = EXPLAIN_QUESTION | EXPLAIN_ANSWER,
	EXPLAIN_PASSES = 1 << 30,
};

/* The programs of shared.bpf.c: for packets that are rare, or for which it makes no difference whose they are. */
enum shared {
	SHARED_PARSE = 1,       /* reads far headers, then back to the container's program */
	SHARED_FRAGMENT = 2,    /* finds a fragment's ports, then back */
	SHARED_TRANSLATE = 3,   /* looks for a frontend, then back */
	SHARED_NEIGHBOUR = 4,   /* ARP and neighbour discovery */
	SHARED_RELATE = 5,      /* ICMP errors */
	SHARED_ONWARD = 6,      /* judged packets that leave the host, are translated back, or are worth telling */
	SHARED_OPEN = 7,        /* likewise, the first packet of a flow: enters it */
	SHARED_CLOSED = 8,      /* whatever a closed container sends or is sent */
	SHARED_DROP = 9,        /* whatever a container's program refuses */
	SHARED_MAX = 16,
};

/* An IPv4 or IPv6 address. IPv4 a.b.c.d is ::ffff:a.b.c.d. */
struct ip {
	__be32 w[4];
};

/* Reserved identities; those of labels start at IDENTITY_FIRST. */
enum identity {
	IDENTITY_UNKNOWN = 0,
	IDENTITY_HOST = 1,  /* an address of this host */
	IDENTITY_WORLD = 2, /* whatever is no endpoint and no host */
	IDENTITY_INIT = 5,  /* a container whose labels are not known yet */
	IDENTITY_FIRST = 256,
};

/* What the map endpoints knows of an address. */
enum endpoint_flags {
	ENDPOINT_HOST = 1 << 0,    /* an address of this host: packets to it go to the stack */
	ENDPOINT_ROUTED = 1 << 1,  /* a container of a network without masquerade: the outside knows its address */
};

struct endpoint {
	__u32 ifindex;  /* host-side veth; 0 for the host */
	__u32 identity;
	__u32 network;  /* number of the Sluice network; 0 for the host */
	__u32 slot;     /* in the program arrays egress and ingress */
	__u8 mac[6];    /* of the container */
	__u16 flags;    /* enum endpoint_flags */
};

/* One key for both directions: (lo, lo_port) is the smaller end, compared as big-endian bytes.
 * ICMP echo: both ports are the identifier. Protocols without ports: 0. */
struct tuple {
	struct ip lo, hi;
	__be16 lo_port, hi_port;
	__u8 proto;
	__u8 pad[3];
};

enum flow_flags {
	FLOW_INITIATOR_LO = 1 << 0, /* the first packet came from tuple.lo */
	FLOW_REPLIED = 1 << 1,      /* a packet of the other direction was seen */
	FLOW_FIN_INITIATOR = 1 << 2,
	FLOW_FIN_RESPONDER = 1 << 3,
	FLOW_RESET = 1 << 4,
	FLOW_DNAT = 1 << 5,         /* dnat_*: the destination that the initiator used */
	FLOW_SNAT = 1 << 6,         /* snat_*: the source that the responder sees */
	FLOW_ESTABLISHED = 1 << 7,  /* TCP: the handshake is complete */
	FLOW_HAIRPIN = 1 << 8,      /* initiator and responder are one container, which reached itself by a frontend:
	                             * the initiator's address in the tuple is the gateway's, its own is the responder's */
};

/* The way out of the host that the routing table gave a flow's packets. It is asked again after a tick. */
struct route {
	struct ip next;  /* hop; of an IPv4 one only the first word counts */
	__u32 ifindex;   /* of the uplink */
	__u32 mtu;       /* bytes that are known to pass */
	__u32 tick;      /* FLOW_TICK of the answer */
	__u16 family;    /* of next: AF_INET, AF_INET6 */
	__u16 flags;     /* enum uplink_flags */
};

/* Packets and bytes. */
struct counter {
	__u64 packets;
	__u64 bytes;
};

/* A connection. The tuple holds the initiator's own source and the real (translated) destination.
 * A judgement is (revision, peer): the policy revision of the judging container and the peer identity
 * that it judged; it is repeated when either differs from what the program would use now. A revision may
 * have bits of enum revision_bits.
 * What every packet reads, what the initiator's packets write and what the others do lie in three cache lines: the kernel
 * puts 88 bytes before the value, and its size makes 256 of them. */
struct flow {
	__u32 last;             /* CLOCK_MONOTONIC_COARSE >> 30 of the last packet */
	__u32 flags;            /* enum flow_flags */
	__u32 egress_revision;  /* of the initiator's egress policy, 0: never judged */
	__u32 egress_peer;
	__u32 ingress_revision; /* of the responder's ingress policy */
	__u32 ingress_peer;
	__u32 tick;             /* FLOW_TICK of the moment when last was read: a clock that costs nothing to read */
	__u32 told;             /* as last, of the last event about the flow */
	__u64 opened;           /* CLOCK_MONOTONIC ns of the first packet */
	struct counter sent;    /* by the initiator, frames with their headers; of GSO, segments are packets */
	struct route route;     /* of a container's packets to the world */
	__u8 pad[16];
	struct counter received; /* by the initiator */
	struct ip dnat_addr;
	struct ip snat_addr;
	__be16 dnat_port;
	__be16 snat_port;
	__u32 masquerade_ifindex; /* uplink of a masqueraded flow */
	__u32 teller;             /* slot + 1 of the container whose programs told of the flow first, 0: none did */
	__u32 teller_opened;      /* 1: that is the initiator */
};

/* Flow.last of now, and the timeouts, count in units of 2^30 ns (1.07 s). */
#define FLOW_SECONDS(s) ((__u32)((s) * 1000000000ULL >> 30))

/* A token bucket of one CPU. */
struct budget {
	__u64 refilled; /* CLOCK_MONOTONIC_COARSE, ns */
	__u32 left;     /* events */
	__u32 lost;     /* events that were not written since the start */
};

/* What a container may send, or be sent, in a second. It is one clock: every packet moves it on by the time that the packet
 * takes at the rate, so that several processors need but one atomic addition. A clock that is behind is set to now. */
struct rate {
	__u64 used;            /* CLOCK_MONOTONIC ns until which what passed uses the rate up */
	__u64 bits_per_second; /* of IP packets; 0: no limit */
	__u64 burst;           /* ns: how far the clock may be ahead */
	__u64 told;            /* CLOCK_MONOTONIC ns of the last event about a drop */
};

enum nat_flags {
	NAT_SOURCE = 1 << 0,      /* masquerade: the container opened the flow, the tuple has its masquerade port */
	NAT_DESTINATION = 1 << 1, /* the tuple's initiator opened the flow to a frontend that has another backend by now
	                           * or is gone; addr is the backend that it had. Go writes it. */
};

/* A translated flow: the tuple as the other end sees it (normalised) -> the container's side. It is void when the
 * container's veth is no longer the one of ifindex. */
struct nat {
	struct ip addr;
	__be16 port;
	__u16 flags;   /* enum nat_flags */
	__u32 last;    /* as flow.last */
	__u32 ifindex; /* host-side veth of the container */
};

/* Frontends: published ports, later services. addr 0.0.0.0 (v4-mapped) or :: means every address of the host. */
struct service_key {
	struct ip addr;
	__be16 port;
	__u8 proto;
	__u8 pad;
};

struct service {
	struct ip backend;
	__be16 port;
	__u16 flags;
	__u32 id;
};

/* Fragments: (addresses, id, proto) of a datagram -> the ports that its first fragment named. */
struct fragment_key {
	struct ip src, dst;
	__be32 id;
	__u8 proto;
	__u8 pad[3];
};

struct fragment {
	__be16 sport, dport;
	__u8 icmp_type;
	__u8 pad[3];
	__u32 last; /* as in struct flow */
};

enum uplink_flags {
	UPLINK_NO_ETHERNET = 1 << 0, /* its frames have no Ethernet header (tun, WireGuard) */
	UPLINK_PACES = 1 << 1,       /* its queues (fq) keep a packet until its departure time */
};

/* Devices that carry the host's own addresses to others. */
struct uplink {
	__be32 addr4;
	__u32 mtu;
	struct ip addr6; /* :: if none */
	__u16 flags;     /* enum uplink_flags */
	__u16 pad;
};

/* What a process of the host connected or sent to: (its socket, backend) -> the frontend that it named. */
struct socket_service_key {
	__u64 cookie;
	struct ip backend;
	__be16 port;
	__u16 pad[3];
};

struct socket_service {
	struct ip addr;
	__be16 port;
	__u16 pad;
};
