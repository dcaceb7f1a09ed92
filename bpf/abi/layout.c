/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One variable of every type that Go shares: compiled by internal/gen only, for its BTF. */
#include "drop.h"
#include "event.h"
#include "policy.h"
#include "types.h"

struct ip ip;
struct endpoint endpoint;
struct tuple tuple;
struct route route;
struct flow flow;
struct nat nat;
struct service_key service_key;
struct service service;
struct fragment_key fragment_key;
struct fragment fragment;
struct uplink uplink;
struct rate rate;
struct counter counter;
struct budget budget;
struct event event;
struct event_budget event_budget;
struct event_limit event_limit;
struct settings settings;
struct capture capture;
struct policy_input policy_input;

enum limits limits;
enum direction direction;
enum origin origin;
enum explain explain;
enum shared shared;
enum identity identity;
enum endpoint_flags endpoint_flags;
enum flow_flags flow_flags;
enum nat_flags nat_flags;
enum uplink_flags uplink_flags;
enum event_type event_type;
enum event_point event_point;
enum event_rate event_rate;
enum event_cause event_cause;
enum event_class event_class;
enum capture_size capture_size;
enum level level;
enum judged judged;
enum policy_class policy_class;
enum policy_verdict policy_verdict;
enum policy_side policy_side;
enum enforcement enforcement;
enum revision_bits revision_bits;
