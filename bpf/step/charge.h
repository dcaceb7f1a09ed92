/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A container's limits, in the shared programs. */
#pragma once
#include "rate.h"

/* As rate_take. */
RARE int rate_charge(struct __sk_buff *skb, struct packet *p, __u32 paces)
{
	return p ? rate_take(skb, p, paces) : 0;
}
