/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of the ring buffer events. */
#pragma once
#include "types.h"

enum event_type {
	EVENT_DROP = 1,    /* a packet was dropped; reason says why */
	EVENT_VERDICT = 2, /* not written: what a policy said is with what became of the packet, and observe tells it apart */
	EVENT_TRACE = 3,   /* a packet that says something new of its flow, or that is told for itself, passed */
	EVENT_AUDIT = 4,   /* a policy denied a connection and was not enforced: reason is what enforcing would drop it for */
	EVENT_LEARN = 5,   /* a container that learns judged a connection; reason 0: its policy allows it */
	EVENT_TYPES = 6,
};

/* Where. */
enum event_point {
	POINT_EGRESS = 1,  /* from a container */
	POINT_INGRESS = 2, /* to a container */
	POINT_UPLINK = 3,  /* from an uplink */
	POINT_SOCKET = 4,  /* cgroup hooks */
};

/* Events that a container may write in a second of each class, and what the daemon reads in a second of all of them: while
 * containers want more, each gets the same share of it. */
enum event_rate {
	EVENT_RATE_DENIALS = 1000,
	EVENT_RATE_FLOWS = 10000,
	EVENT_RATE_PACKETS = 10000,
	EVENT_RATE_LEARN = 10000,
	EVENT_RATE_ALL = 50000,
};

/* Why a trace is told. */
enum event_cause {
	CAUSE_NEW = 1 << 0,    /* the first packet of its flow */
	CAUSE_STATE = 1 << 1,  /* the flow changed: answered, half closed, judged by a new policy */
	CAUSE_TIME = 1 << 2,   /* the flow goes on, and was not told of for some seconds */
	CAUSE_CLOSED = 1 << 3, /* the flow is over: its totals are final */
	CAUSE_PACKET = 1 << 4, /* every packet of the container is told */
};

/* What is told of a container's packets; each level tells what those before it do. EVENT_LEARN is told at any. */
enum level {
	LEVEL_NONE = 0,
	LEVEL_DROPS = 1,   /* what was dropped, and what audits would have denied */
	LEVEL_FLOWS = 2,   /* flows: opened, changed, every few seconds, closed */
	LEVEL_PACKETS = 3, /* every packet */
};

/* What shares a budget (map event_budget): of one container, events of a class are never lost for those of another. */
enum event_class {
	EVENTS_DENIALS = 0,  /* EVENT_DROP, EVENT_AUDIT */
	EVENTS_FLOWS = 1,    /* EVENT_TRACE */
	EVENTS_PACKETS = 2,  /* EVENT_TRACE of CAUSE_PACKET alone */
	EVENTS_LEARN = 3,    /* EVENT_LEARN */
	EVENTS_CAPTURES = 4, /* records of the ring captures, which have no limit but its size */
	EVENTS_CLASSES = 5,
};

/* What a container's programs wrote of one class. It is one clock: every event moves it on by the time that the event
 * takes at the class's rate, so that several processors need but one atomic addition. A clock that is behind is set to now. */
struct event_budget {
	__u64 used;    /* CLOCK_MONOTONIC_COARSE ns until which what was written uses the rate up */
	__u64 written; /* events since the map was made */
	__u64 lost;    /* events that were not written since: the budget was used up, or the ring was full */
};

/* How much of a class every container may write. */
struct event_limit {
	__u64 cost;  /* ns that an event takes; 0: no limit */
	__u64 burst; /* ns: how far the clock may be ahead */
};

/* What holds for the events of all programs. */
struct settings {
	__u32 flow_interval; /* as flow.last: a flow that goes on is told of so often */
};

struct event {
	__u64 time;       /* CLOCK_MONOTONIC, ns */
	__u64 opened;     /* likewise, of the flow's first packet; 0: it is in no flow */
	struct counter sent;     /* by the flow's initiator, in all, up to now */
	struct counter received; /* by it */
	struct ip src, dst;
	struct ip dnat_addr; /* the flow's destination before translation; zero: it is not translated */
	struct ip snat_addr; /* the flow's source after translation, likewise */
	__be16 sport, dport, dnat_port, snat_port;
	__u8 proto;
	__u8 type;        /* enum event_type */
	__u8 point;       /* enum event_point */
	__u8 tcp_flags;
	__u16 reason;     /* enum drop_reason */
	__u16 rule;       /* 1-based index into the rules of (slot, revision); 0: no rule, the default */
	__u32 slot;       /* of the container whose program speaks */
	__u32 revision;
	__u32 identity;   /* of the peer */
	__u32 length;     /* of the packet, bytes */
	__u8 icmp_type, icmp_code;
	__u8 family;      /* 4 or 6; 0 if not IP */
	__u8 reply;       /* 1: a reply of a known flow */
	__u32 ifindex;
	__be16 frontend;  /* POLICY_PUBLISH: the host's port */
	__u8 side;        /* enum policy_side of the last policy that was asked, whose rule it is */
	__u8 cause;       /* enum event_cause */
	__u8 judged;      /* enum judged: what the policy of this program says of this very packet; what is told apart,
			   * as EVENT_AUDIT is, is not said again */
	__u8 pad[3];
};

enum capture_size {
	CAPTURE_MAX = 9216, /* bytes of a packet that are captured at most */
};

/* A record of the ring captures: what became of a packet, and the bytes of its frame from the Ethernet header on. What a
 * container sends is as it sent it; what it is sent is as it gets it, or as it was when it was dropped. */
struct capture {
	struct event event; /* EVENT_TRACE or EVENT_DROP */
	__u32 length;       /* of the frame */
	__u32 captured;     /* bytes of it that follow */
};
