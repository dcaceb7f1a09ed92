/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Load-time constants that are the same for every program of a daemon. */
#pragma once
#include <linux/types.h>

volatile const __u32 VERSION = 1;         /* of the programs, never 0: a packet is handed on between equal ones only */
volatile const __u16 MASQUERADE_PORT_MIN; /* host order */
volatile const __u16 MASQUERADE_PORT_MAX;
