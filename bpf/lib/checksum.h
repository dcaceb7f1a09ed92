/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The internet checksum (RFC 1071) over sums that bpf_csum_diff gives. */
#pragma once
#include "compiler.h"

/* Folds a 32 bit sum to the 16 bit that are written into a header. */
STEP __sum16 checksum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}
