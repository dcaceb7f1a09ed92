/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Load-time constants of a container's programs, in frozen .rodata: the verifier removes what is off. Written by datapath
 * from Go's datapath.Program. */
#pragma once
#include "host.h"
#include "types.h"

volatile const __u32 DOOR_SLOT;         /* of the doors: the slot that they lead to */
volatile const __u32 SLOT;              /* in the arrays egress and ingress */
volatile const __u32 IDENTITY;          /* of the container */
volatile const __u32 NETWORK;           /* number of the network, never 0 */
volatile const __u32 REVISION;          /* of the policy, never 0, less than REVISION_AUDITED */
volatile const __u32 JUDGEMENT;         /* what flows remember: REVISION, with REVISION_LEARNED if it learns */
volatile const __u32 HOST_IFINDEX;      /* host-side veth */
volatile const __u64 CONTAINER_MAC;     /* six bytes in memory order, then two zero bytes */
volatile const __u64 HOST_MAC;          /* of the host-side veth; ARP and ND answer with it */
volatile const struct ip ADDRESS4;      /* v4-mapped; zero if none */
volatile const struct ip ADDRESS6;
volatile const struct ip GATEWAY4;
volatile const struct ip GATEWAY6;
volatile const struct ip SUBNET4;       /* first address */
volatile const struct ip SUBNET6;
volatile const __u32 SUBNET4_BITS;      /* prefix length, 0 to 32 */
volatile const __u32 SUBNET6_BITS;      /* 0 to 128 */
volatile const __u8 FEATURE_IPV4;
volatile const __u8 FEATURE_IPV6;
volatile const __u8 FEATURE_INTERNAL;   /* nothing to or from the world */
volatile const __u8 FEATURE_MASQUERADE; /* leave by the uplink's address */
volatile const __u8 FEATURE_SERVICES;   /* translate destinations that are frontends (hairpin) */
volatile const __u8 FEATURE_POLICY_EGRESS;  /* the stub policy_egress was replaced; off: everything leaves */
volatile const __u8 FEATURE_POLICY_INGRESS; /* likewise; off: open within the network, to host and world */
volatile const __u8 FEATURE_POLICY_PUBLISH; /* likewise; off: whoever may reach the container may by published ports */
volatile const __u32 EGRESS_DENIES;      /* rules of egress from 1 to this hold under audit and learn, too; 0: none */
volatile const __u32 INGRESS_DENIES;     /* likewise, of ingress */
volatile const __u32 INGRESS_BASE;       /* rules of ingress from this number on, and 0, are about no peer; 0: all are */
volatile const __u32 PUBLISH_BASE;       /* likewise, of published ports */
volatile const __u8 ENFORCEMENT;            /* enum enforcement */
volatile const __u8 FEATURE_RATE_EGRESS;    /* the map rates limits what the container sends */
volatile const __u8 FEATURE_RATE_INGRESS;   /* likewise, what it is sent */
volatile const __u8 LEVEL;                  /* enum level: what is told of the container's packets */
volatile const __u32 CAPTURE;               /* bytes of every packet that go to the ring captures, 0: no record */
volatile const __u8 FINGERPRINT[16];       /* of the datapath.Program, read back by a restarted daemon; no program reads it */
