/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: socket and backend. Value: the frontend that the process named, for recvmsg and getpeername.
 * Writer and reader: the socket hooks. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct socket_service_key);
	__type(value, struct socket_service);
} socket_services SEC(".maps");
