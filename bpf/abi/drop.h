/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one list of drop reasons: number, constant, name, explanation. Go's table and docs/reference/drops.md are
 * generated from it. A retired number stays, marked RETIRED. */
#pragma once

#define DROP_REASONS(X)                                                                                             \
	X(1, CLOSED, "labels unknown", "the container's labels are not known yet, only ARP and ND pass")            \
	X(2, INVALID, "invalid packet", "truncated or malformed headers")                                           \
	X(3, NOT_IP, "not IP", "neither IPv4, IPv6 nor ARP")                                                        \
	X(4, SPOOFED_MAC, "spoofed MAC", "the source MAC is not the container's")                                   \
	X(5, SPOOFED_IP, "spoofed address", "the source address is not the container's")                            \
	X(6, POLICY_DENIED, "policy denied", "a rule denies it, or no rule allows it")                              \
	X(7, OTHER_NETWORK, "other network", "containers of different networks need an ingress rule")               \
	X(8, NO_ENDPOINT, "no such endpoint", "the address is on the subnet, but no container has it")              \
	X(9, INTERNAL, "internal network", "the network is internal, nothing leaves it")                            \
	X(10, MULTICAST, "multicast or broadcast", "neither is carried between containers")                         \
	X(11, FRAGMENT, "fragment without its first", "the first fragment, which has the ports, was not seen")      \
	X(12, NO_ROUTE, "no route", "the host has no route to the destination")                                     \
	X(13, TOO_BIG, "packet too big", "larger than the MTU of the way out and not to be fragmented")             \
	X(14, TTL, "TTL exceeded", "the hop limit reached zero")                                                    \
	X(15, NO_NAT_PORT, "no masquerade port", "no free port was found on the uplink")                            \
	X(16, NO_UPLINK_ADDRESS, "no uplink address", "the uplink has no address of this family to masquerade with")\
	X(17, FLOW_TABLE, "flow table", "the connection could not be entered into the flow table")                  \
	X(18, VLAN, "VLAN tag", "containers may not send tagged frames")                                            \
	X(19, FAMILY_OFF, "address family off", "the network has no subnet of this family")                         \
	X(20, ICMP_UNRELATED, "unrelated ICMP error", "the ICMP error belongs to no known connection")              \
	X(21, SPOOFED_UPLINK, "spoofed on uplink", "a packet from outside claims an address of a container")        \
	X(22, NO_SLOT, "no program", "the destination's slot is empty")                                             \
	X(23, EXTENSION, "extension header", "an IPv6 extension header or IPv4 option that is not carried")         \
	X(24, REWRITE, "rewrite", "the kernel refused to change the packet")                                        \
	X(25, NOT_TRACKED, "not a connection", "an answer, TCP or ICMP, that belongs to no known connection")  \
	X(26, NOT_PUBLISHED, "not published", "from outside only published ports of a masqueraded container are reached")  \
	X(27, NO_SHARED, "no shared program", "a shared program is missing")  \
	X(28, PUBLISH_DENIED, "publish denied", "the container's list for the published port does not admit the client")  \
	X(29, RATE, "rate exceeded", "the container sends or is sent more than its limit admits")

enum drop_reason {
	DROP_NONE = 0,
#define X(number, constant, name, help) DROP_##constant = number,
	DROP_REASONS(X)
#undef X
	DROP_REASON_MAX = 64, /* size of the counters' array per direction */
};
