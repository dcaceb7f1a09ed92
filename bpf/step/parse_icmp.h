/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading ICMP, and what the steps of parsing answer. */
#pragma once
#include <linux/in.h>
#include <linux/in6.h>
#include "../abi/drop.h"
#include "../lib/icmp.h"
#include "../lib/packet.h"

#define PARSED_ARP (-1)     /* the frame is ARP */
#define PARSED_FAR (-3)     /* parse_far reads the rest */
#define IP_OFFSET_BITS 0x1fff
#define IP_MORE 0x2000

/* What type and code say of an ICMP message. Redirects are refused: there is no router to be redirected to. */
STEP int parse_icmp(struct packet *p, __u8 type, __u8 code, __be16 id)
{
	p->icmp_type = type;
	p->icmp_code = code;
	if (p->proto == IPPROTO_ICMP) {
		if (type == ICMP_ECHO || type == ICMP_ECHOREPLY)
			p->sport = p->dport = id;
		else if (type == ICMP_REDIRECT)
			return DROP_ICMP_UNRELATED;
		p->icmp_error = type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
		return 0;
	}
	if (type == ICMPV6_ECHO_REQUEST || type == ICMPV6_ECHO_REPLY)
		p->sport = p->dport = id;
	p->icmp_error = type < ICMPV6_ECHO_REQUEST;
	p->neighbour = type >= 133 && type <= 137;
	return 0;
}
