/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Making TCP of this host send no faster than the containers at its ends may: between containers a round trip is so short
 * that a window of two segments exceeds most limits, and TCP that loses packets at a full bucket stalls for 200 ms each
 * time. A socket that paces itself loses none. This is a help and no limit: rate_take holds the limit. */
#pragma once
#include <asm-generic/socket.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "../lib/bytes.h"
#include "../map/endpoints.h"
#include "../map/rates.h"

#define TCP_HEADER 32        /* with timestamps */
#define PACE_NONE 0xffffffffU /* bytes in a second: as fast as it can */

/* What a container with that address may send or be sent, in bits a second; 0: no limit, or no container. */
STEP __u64 limit_of(const struct ip *addr, __u32 direction)
{
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, addr);
	struct rate *r;
	__u32 key;

	if (!e || e->flags & ENDPOINT_HOST)
		return 0;
	key = e->slot * 2 + direction;
	r = bpf_map_lookup_elem(&rates, &key);
	return r ? r->bits_per_second : 0;
}

/* One end of a socket. Both forms are read first: of a branch for each the compiler makes one load by a pointer into the
 * context, which the verifier refuses. */
STEP void end_of(struct ip *out, int v4, volatile __u32 *addr4, volatile __u32 *addr6)
{
	__u32 w = *addr4, w0 = addr6[0], w1 = addr6[1], w2 = addr6[2], w3 = addr6[3];

	out->w[0] = v4 ? 0 : w0;
	out->w[1] = v4 ? 0 : w1;
	out->w[2] = v4 ? V4_MAPPED : w2;
	out->w[3] = v4 ? w : w3;
}

STEP void socket_ends(struct bpf_sock_ops *ctx, struct ip *local, struct ip *far)
{
	int v4 = ctx->family == AF_INET;

	end_of(local, v4, &ctx->local_ip4, ctx->local_ip6);
	end_of(far, v4, &ctx->remote_ip4, ctx->remote_ip6);
}

/* The lower one of the limits at both ends; 0: none. */
STEP __u64 lowest_limit(const struct ip *local, const struct ip *far)
{
	__u64 egress = limit_of(local, DIRECTION_EGRESS), ingress = limit_of(far, DIRECTION_INGRESS);

	return egress && (egress < ingress || !ingress) ? egress : ingress;
}

/* What a socket may send of its data at a limit: each segment has headers too. A little less, so that nothing is lost. */
STEP __u32 pace_of(struct bpf_sock_ops *ctx, __u64 rate, int v4)
{
	__u64 mss = ctx->mss_cache, headers = (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + TCP_HEADER;

	if (!mss)
		mss = 1448;
	rate = rate / 8 * mss / (mss + headers);
	rate -= rate / 256;
	return rate && rate < PACE_NONE ? rate : PACE_NONE;
}

/* Sets the socket's pace. A socket that has one of its application's own is left alone; ours are told by their callback at
 * every round trip, which also sees when the limit changes. */
STEP void pace_socket(struct bpf_sock_ops *ctx)
{
	__u32 flags = ctx->bpf_sock_ops_cb_flags, pace, was = PACE_NONE;
	struct ip local, far;

	socket_ends(ctx, &local, &far);
	pace = pace_of(ctx, lowest_limit(&local, &far), ip_is_v4(&local));
	if (bpf_getsockopt(ctx, SOL_SOCKET, SO_MAX_PACING_RATE, &was, sizeof(was)) || pace == was)
		return;
	if (was != PACE_NONE && !(flags & BPF_SOCK_OPS_RTT_CB_FLAG))
		return;
	if (bpf_setsockopt(ctx, SOL_SOCKET, SO_MAX_PACING_RATE, &pace, sizeof(pace)))
		return;
	flags &= ~BPF_SOCK_OPS_RTT_CB_FLAG;
	bpf_sock_ops_cb_flags_set(ctx, pace == PACE_NONE ? flags : flags | BPF_SOCK_OPS_RTT_CB_FLAG);
}

/* A connection stands. If it exceeds a limit that a container gets later, it loses packets: then it looks again. */
STEP void pace_begin(struct bpf_sock_ops *ctx)
{
	struct ip local, far;

	socket_ends(ctx, &local, &far);
	if (!bpf_map_lookup_elem(&endpoints, &local) && !bpf_map_lookup_elem(&endpoints, &far))
		return;
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RETRANS_CB_FLAG);
	pace_socket(ctx);
}
