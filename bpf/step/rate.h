/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The container's limits of bandwidth: what exceeds one waits where something can keep it, and is dropped elsewhere. */
#pragma once
#include <linux/in.h>
#include "../abi/drop.h"
#include "../lib/clock.h"
#include "../lib/packet.h"
#include "../map/rates.h"
#include "metrics.h"
#include "wire.h"

#define PACE_MAX (SECOND / 5)   /* how long a packet may be kept */
#define RATE_SMALL 256            /* bytes */
#define RATE_TELL (SECOND / 10) /* one event in this time: drops are how a limit works, not news */

/* A drop that was counted and is not told. */
#define DROP_COUNTED DROP_REASON_MAX

/* Whether to keep the packet instead of dropping it. Only if that holds its sender back: a TCP socket of this host sends no
 * more before what it sent has left. Others would fill fq's queue, which then drops what has used up the rate already. */
STEP int can_wait(struct __sk_buff *skb, const struct packet *p)
{
	return p->proto == IPPROTO_TCP && skb->sk;
}

/* A packet too many. */
STEP int rate_exceeded(struct __sk_buff *skb, const struct packet *p, struct rate *r, __u64 now)
{
	if (now - r->told >= RATE_TELL) {
		r->told = now;
		return DROP_RATE;
	}
	count(p->direction == DIRECTION_EGRESS ? DIRECTION_EGRESS : DIRECTION_INGRESS, DROP_RATE, skb->len);
	return DROP_COUNTED;
}

/* How far the clock may be ahead for the packet to pass. Half of the burst is for what cannot wait, if others can. A small
 * packet may go beyond the burst: so a container that sends all that it may still opens connections, acknowledges what it is
 * sent and asks for names. */
STEP __u64 rate_room(const struct rate *r, __u32 length, int waits)
{
	if (waits)
		return r->burst / 2 + PACE_MAX;
	return length <= RATE_SMALL ? r->burst + r->burst / 4 : r->burst;
}

/* Takes the packet out of what the container of its slot may send or be sent. The bucket may be overdrawn by one packet, so
 * that a burst shorter than a packet is one. paces: the device keeps packets until their departure time. 0 or the drop
 * reason. */
STEP int rate_take(struct __sk_buff *skb, struct packet *p, __u32 paces)
{
	__u32 key = p->slot * 2 + p->direction, length = wire_length(skb, p);
	struct rate *r = bpf_map_lookup_elem(&rates, &key);
	__u64 now = bpf_ktime_get_ns(), used, rate;
	int waits = paces && can_wait(skb, p);

	if (!r)
		return 0;
	rate = r->bits_per_second;
	if (!rate)
		return 0;
	used = r->used;
	if (used < now) /* whoever comes first begins anew */
		__sync_val_compare_and_swap(&r->used, used, now);
	else if (used - now > rate_room(r, length, waits))
		return rate_exceeded(skb, p, r, now);
	used = __sync_fetch_and_add(&r->used, length * 8 * SECOND / rate);
	if (waits && used > now + r->burst / 2)
		bpf_skb_set_tstamp(skb, used - r->burst / 2, BPF_SKB_TSTAMP_DELIVERY_MONO);
	return 0;
}
