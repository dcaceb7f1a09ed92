/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/event.h"
#include "../lib/compiler.h"

/* Records of struct capture, each with the bytes of a packet.
 * Writer: the shared programs, about containers that are captured. Reader: observe, while somebody captures. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} captures SEC(".maps");
