/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* On the devices that lead out of the host: what comes in for a container, by a published port or as the reply to a
 * masqueraded flow, is translated and given to the container's program. All else is left to the stack. What leaves
 * needs nothing here: the container's program has translated it. */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include "abi/host.h"
#include "map/ingress_slots.h"
#include "step/fate.h"
#include "step/flow.h"
#include "step/fragment.h"
#include "step/icmp_error.h"
#include "step/parse_far.h"
#include "step/publish.h"

/* Programs of others on the device, then the stack, see the packet. */
#define LEAVE TC_ACT_UNSPEC

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Whether the frame begins with an Ethernet header: then its type is the packet's protocol. On devices without one, such
 * as tun, a packet of 8.0.0.0/16 looks as if it did; parse refuses it, and it is left to the stack. */
STEP int has_ethernet(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	return (void *)(eth + 1) <= end && eth->h_proto == skb->protocol;
}

/* Gives a packet without Ethernet header one, as the container's program expects it. The stack does not mind: it reads
 * from the network header on. */
RARE int add_ethernet(struct __sk_buff *skb)
{
	__be16 proto = skb->protocol;

	if (skb->vlan_present || bpf_skb_change_head(skb, ETH_HLEN, 0))
		return DROP_REWRITE;
	return bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &proto, sizeof(proto), 0) ? DROP_REWRITE : 0;
}

/* To the container, whose own ingress judges it as coming from the world, unless it did, and tells of it. */
STEP int enter(struct __sk_buff *skb, struct packet *p, const struct destination *d)
{
	skb->cb[0] = ORIGIN_UPLINK | p->news << ORIGIN_NEWS_SHIFT;
	skb->cb[1] = IDENTITY_WORLD;
	skb->cb[2] = 0;
	skb->cb[3] = d->allowed;
	skb->cb[4] = 0;
	bpf_tail_call(skb, &ingress_slots, d->slot);
	return drop(skb, p, DROP_NO_SLOT);
}

SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	struct packet p = { .direction = DIRECTION_UPLINK, .level = LEVEL_DROPS };
	struct destination d = {};
	int reason;

	if (skb->pkt_type != PACKET_HOST) /* 1 */
		return LEAVE;
	if (unlikely(!has_ethernet(skb)) && add_ethernet(skb))
		return LEAVE;
	if (parse(skb, &p) || (p.fragment && fragment(&p))) /* 2 */
		return LEAVE;
	if (p.icmp_error) /* 3 */
		reason = publish_icmp_error(skb, &p, &d);
	else
		reason = publish(skb, &p, &d);
	if (!reason && !d.found && !routed(&p, &d))
		return LEAVE;
	if (!reason && !d.tracked && is_ours(&p.src)) /* 4 */
		reason = DROP_SPOOFED_UPLINK;
	if (!reason && !p.icmp_error && d.nat) { /* 5 */
		reason = d.tracked ? 0 : publish_flow(skb, &p, &d);
		if (!reason)
			reason = rewrite(skb, &p, END_DESTINATION, &d.addr, d.port);
	}
	if (reason)
		return drop(skb, &p, reason);
	return enter(skb, &p, &d);
}
