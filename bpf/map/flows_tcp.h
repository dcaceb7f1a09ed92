/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once
#include "../abi/types.h"
#include "../lib/compiler.h"

/* Key: normalised tuple of a TCP connection. Value: its state and who allowed it.
 * Apart from flows_any, so that a flood of datagrams evicts no TCP connection.
 * Writer: the programs egress, ingress, from_uplink; datapath/maps removes the expired.
 * Reader: the same, and sluice bpf conntrack. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct tuple);
	__type(value, struct flow);
} flows_tcp SEC(".maps");
