/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Published ports for the processes of the host: a destination that is a frontend becomes its backend when a socket
 * connects or sends, and answers and peer names show the frontend again. No packet is translated.
 *
 * A socket bound to a loopback address before it connects cannot reach a container, since nothing may leave a host
 * with such a source (RFC 1122, 3.2.1.3). IPv4's routing refuses it with EINVAL; IPv6's would send it and the
 * container would drop it, so the hooks refuse it with EINVAL as well. */
#include <linux/errno.h>
#include <linux/in.h>
#include "lib/bytes.h"
#include "map/socket_services.h"
#include "step/frontend.h"
#include "step/pace.h"

volatile const __u64 NETNS_COOKIE; /* of the daemon's network namespace; sockets of others are left alone */

enum { REFUSE = 0, PROCEED = 1 }; /* what a hook answers */

/* Where a socket wants to go, or where a datagram came from. */
struct remote {
	struct ip addr;
	__be16 port;
	__u8 proto;
	__u8 pad;
};

STEP int is_unspecified(const struct ip *a)
{
	return !(a->w[0] | a->w[1] | a->w[3]) && (a->w[2] == 0 || a->w[2] == V4_MAPPED);
}

/* Connecting to 0.0.0.0 or :: means the host itself. */
STEP int is_host(const struct ip *a)
{
	struct endpoint *e;

	if (is_loopback(a) || is_unspecified(a))
		return 1;
	e = bpf_map_lookup_elem(&endpoints, a);
	return e && (e->flags & ENDPOINT_HOST);
}

STEP int is_ours(struct bpf_sock_addr *ctx)
{
	return (ctx->protocol == IPPROTO_TCP || ctx->protocol == IPPROTO_UDP) &&
	       bpf_get_netns_cookie(ctx) == NETNS_COOKIE;
}

STEP struct service *socket_frontend(const struct remote *r)
{
	struct service_key key = { .addr = r->addr, .port = r->port, .proto = r->proto };
	int v4 = ip_is_v4(&r->addr);
	struct service *s = bpf_map_lookup_elem(&services, &key);

	if (s || !is_host(&r->addr))
		return s;
	key.addr.w[0] = key.addr.w[1] = key.addr.w[3] = 0;
	key.addr.w[2] = v4 ? V4_MAPPED : 0;
	return bpf_map_lookup_elem(&services, &key);
}

/* Replaces a frontend by its backend and remembers it. 1 if it did. mapped: IPv6 may become v4-mapped. */
STEP int to_backend(struct bpf_sock_addr *ctx, struct remote *r, int mapped)
{
	struct service *s = socket_frontend(r);
	struct socket_service_key key = { .cookie = bpf_get_socket_cookie(ctx) };
	struct socket_service value = { .addr = r->addr, .port = r->port };

	if (!s || (ip_is_v4(&s->backend) != ip_is_v4(&r->addr) && !(mapped && ip_is_v4(&s->backend))))
		return 0;
	key.backend = s->backend;
	key.port = s->port;
	bpf_map_update_elem(&socket_services, &key, &value, BPF_ANY);
	r->addr = key.backend;
	r->port = key.port;
	return 1;
}

/* Replaces a backend by the frontend that this socket named. 1 if it did. */
STEP int to_frontend(struct bpf_sock_addr *ctx, struct remote *r)
{
	struct socket_service_key key = { .cookie = bpf_get_socket_cookie(ctx), .backend = r->addr, .port = r->port };
	struct socket_service *s = bpf_map_lookup_elem(&socket_services, &key);

	if (!s)
		return 0;
	r->addr = s->addr;
	r->port = s->port;
	return 1;
}

STEP void load(struct bpf_sock_addr *ctx, struct remote *r, int family)
{
	if (family == 4) {
		ip_from_v4(&r->addr, ctx->user_ip4);
	} else {
		r->addr.w[0] = ctx->user_ip6[0];
		r->addr.w[1] = ctx->user_ip6[1];
		r->addr.w[2] = ctx->user_ip6[2];
		r->addr.w[3] = ctx->user_ip6[3];
	}
	r->port = ctx->user_port;
	r->proto = ctx->protocol;
	r->pad = 0;
}

STEP void store(struct bpf_sock_addr *ctx, const struct remote *r, int family)
{
	if (family == 4) {
		ctx->user_ip4 = r->addr.w[3];
	} else {
		ctx->user_ip6[0] = r->addr.w[0];
		ctx->user_ip6[1] = r->addr.w[1];
		ctx->user_ip6[2] = r->addr.w[2];
		ctx->user_ip6[3] = r->addr.w[3];
	}
	ctx->user_port = r->port;
}

/* A destination, of a socket bound to an address (zero: none), becomes the backend of its frontend. */
STEP int towards(struct bpf_sock_addr *ctx, int family, const struct ip *bound, int mapped)
{
	struct remote r;

	if (!is_ours(ctx))
		return PROCEED;
	load(ctx, &r, family);
	if (!to_backend(ctx, &r, mapped))
		return PROCEED;
	if (is_loopback(bound)) {
		bpf_set_retval(-EINVAL);
		return REFUSE;
	}
	store(ctx, &r, family);
	return PROCEED;
}

/* A backend that the process is told of becomes the frontend that it named. */
STEP int from(struct bpf_sock_addr *ctx, int family)
{
	struct remote r;

	if (!is_ours(ctx))
		return PROCEED;
	load(ctx, &r, family);
	if (to_frontend(ctx, &r))
		store(ctx, &r, family);
	return PROCEED;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct ip unknown = {};

	return towards(ctx, 4, &unknown, 0);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	struct ip unknown = {};

	return towards(ctx, 4, &unknown, 0);
}

/* A frontend of IPv6 with a backend of IPv4 is reached by the v4-mapped address; sockets that are IPv6 only get
 * ENETUNREACH from the kernel. */
SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct ip bound = {};

	if (sk) {
		bound.w[0] = sk->src_ip6[0];
		bound.w[1] = sk->src_ip6[1];
		bound.w[2] = sk->src_ip6[2];
		bound.w[3] = sk->src_ip6[3];
	}
	return towards(ctx, 6, &bound, 1);
}

/* Unlike connect, the kernel cannot send a datagram of an IPv6 destination to a v4-mapped one: it is left alone. */
SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	struct ip bound;

	bound.w[0] = ctx->msg_src_ip6[0];
	bound.w[1] = ctx->msg_src_ip6[1];
	bound.w[2] = ctx->msg_src_ip6[2];
	bound.w[3] = ctx->msg_src_ip6[3];
	return towards(ctx, 6, &bound, 0);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	return from(ctx, 4);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	return from(ctx, 6);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	return from(ctx, 4);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	return from(ctx, 6);
}

/* Sockets of all namespaces: containers' and, for what they send to containers, the host's. */
SEC("sockops")
int pace(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		pace_begin(ctx);
		break;
	case BPF_SOCK_OPS_RETRANS_CB:
	case BPF_SOCK_OPS_RTT_CB:
		pace_socket(ctx);
	}
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
