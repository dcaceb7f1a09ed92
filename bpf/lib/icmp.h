/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP's types; <linux/icmp.h> wants a C library for the target. */
#pragma once
#include <linux/icmpv6.h>
#include <linux/in6.h>

enum icmp_type {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_REDIRECT = 5,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETERPROB = 12,
	ICMP_TIMESTAMP = 13,
	ICMP_TIMESTAMPREPLY = 14,
};
