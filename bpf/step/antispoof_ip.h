/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A container speaks with its own addresses only. */
#pragma once
#include "../abi/config.h"
#include "../abi/drop.h"
#include "../lib/bytes.h"
#include "../lib/packet.h"

/* The packet's source is the container's address of its family. */
STEP int antispoof_ip(const struct packet *p)
{
	if (p->family == 4) {
		if (!FEATURE_IPV4)
			return DROP_FAMILY_OFF;
		return p->src.w[3] == ADDRESS4.w[3] ? 0 : DROP_SPOOFED_IP;
	}
	if (!FEATURE_IPV6)
		return DROP_FAMILY_OFF;
	return ip_is_constant(&p->src, &ADDRESS6) ? 0 : DROP_SPOOFED_IP;
}
