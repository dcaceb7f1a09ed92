/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a compiled policy is asked and what it answers. The global functions policy_egress, policy_ingress and
 * policy_publish of container.bpf.c are stubs whose instructions Go replaces (datapath/compile). */
#pragma once
#include "types.h"

enum policy_class { /* of the peer, when no rule names its identity */
	CLASS_NETWORK = 0, /* a container of the same network */
	CLASS_OTHER = 1,   /* a container of another Sluice network */
	CLASS_HOST = 2,
	CLASS_WORLD = 3,   /* addr is looked up among the CIDRs of the policy */
};

enum policy_side { /* which of a container's policies */
	POLICY_NONE = 0,
	POLICY_EGRESS = 1,  /* what it may reach */
	POLICY_INGRESS = 2, /* who may reach it */
	POLICY_PUBLISH = 3, /* who may reach it by a published port; asked after ingress */
};

struct policy_input {
	__u32 identity;   /* of the peer */
	__u32 class;      /* enum policy_class */
	__u32 proto_port; /* IP protocol << 16 | destination port in host order, or ICMP type << 8 | code; of
			   * POLICY_PUBLISH the host's port */
	__u32 pad;
	__u64 addr_hi;    /* peer's v4-mapped address as two numbers in host order, for comparisons */
	__u64 addr_lo;
};

/* What becomes of a connection that a policy denies. */
enum enforcement {
	ENFORCE = 0, /* it is dropped */
	AUDIT = 1,   /* it is let through, and told */
	LEARN = 2,   /* likewise; besides, every connection that is judged is told */
};

/* What a flow remembers of a judgement beside the revision. A program takes as its own only what it would write itself, so
 * that one which enforces asks again about whatever its predecessor only watched. */
enum revision_bits {
	REVISION_AUDITED = 1 << 29,/* the policy denied it, and was not enforced */
	REVISION_LEARNED = 1 << 30,/* it was told to who learns */
};

/* The answer: rule index << 8 | verdict. */
enum policy_verdict {
	VERDICT_DENY = 0,
	VERDICT_ALLOW = 1,
};

/* Whether a policy was asked about the packet, and what it said. */
enum judged {
	JUDGED_NO = 0,
	JUDGED_ALLOWED = 1,
	JUDGED_DENIED = 2,
};
