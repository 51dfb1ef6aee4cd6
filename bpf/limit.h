/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The admission ladder: who the source is (deny, allow, its policy), then the
 * buckets that the policy charges.
 *
 * Most packets never come here, and of those that do, most never enter the
 * trie: the summary says that no prefix can hold the source, or the route
 * cache of this CPU remembers what the trie answered.
 *
 * A packet is charged for every kind it counts for, or for none: what was
 * taken is given back when a later bucket refuses.
 *
 * Clocks: a refusal that holds at any time within the coarse clock's slack is
 * decided by that clock; everything else reads the fine clock, once.
 *
 * Runs with bottom halves disabled, so a CPU's route cache has one user.
 */
#ifndef THR_LIMIT_H
#define THR_LIMIT_H

struct ladder {
	const struct packet *packet;
	const struct thr_live *live;
	const struct thr_settings *settings;
	__u32 slot;
	__u32 service;
	__u32 bytes; /* of the frame */
};

/* --- the source: its entry in the tables --- */

static __always_inline bool limit_summary_has(__u32 slot, __u32 half, __u32 bit)
{
	__u32 word = slot * THR_SUMMARY_WORDS + half + (bit >> 6);
	const __u64 *bits = bpf_map_lookup_elem(&thr_summary, &word);

	return bits && *bits >> (bit & 63) & 1;
}

/* Whether some prefix may hold the source. */
static __always_inline bool limit_may_be_listed(const struct ladder *ladder)
{
	__u32 flags = ladder->settings->flags;
	__u32 slot = ladder->slot;
	__u64 high;

	if (!ladder->packet->is_v6) {
		__u32 v4 = (__u32)bpf_be64_to_cpu(ladder->packet->source[1]);

		return flags & THR_SOURCES_V4 &&
		       limit_summary_has(slot, 0, v4 >> (32 - THR_SUMMARY_BITS_LOG2));
	}
	high = bpf_be64_to_cpu(ladder->packet->source[0]);
	return (flags & THR_SOURCES_V6_SHORT &&
		limit_summary_has(slot, THR_SUMMARY_HALF, thr_summary_v6_bit(high, 16))) ||
	       (flags & THR_SOURCES_V6_32 &&
		limit_summary_has(slot, THR_SUMMARY_HALF, thr_summary_v6_bit(high, 32))) ||
	       (flags & THR_SOURCES_V6_48 &&
		limit_summary_has(slot, THR_SUMMARY_HALF, thr_summary_v6_bit(high, 48)));
}

static __always_inline void limit_ask_trie(const struct ladder *ladder, __u32 *policy,
					   __u32 *action)
{
	struct thr_source_key key = {
		.prefixlen = THR_SOURCE_TAG_BITS + 128,
		.tag = THR_SOURCE_TAG(ladder->slot, ladder->packet->is_v6),
	};
	const struct thr_source *source;

	__builtin_memcpy(key.address, ladder->packet->source, sizeof(key.address));
	source = bpf_map_lookup_elem(&thr_sources, &key);
	if (source) {
		*policy = source->policy;
		*action = source->action;
	}
}

/* The policy index (0: the service's) and the action for the source. */
static __always_inline void limit_find_source(const struct ladder *ladder, __u32 *policy,
					      __u32 *action)
{
	const __be64 *source = ladder->packet->source;
	__u64 mixed = (source[0] ^ (source[1] << 1 | source[1] >> 63)) * 0x9E3779B97F4A7C15ULL;
	__u32 place = mixed >> 52;
	struct thr_route *route;

	_Static_assert(THR_ROUTES_MAX == 1 << (64 - 52), "place covers the cache");
	*policy = 0;
	*action = THR_SOURCE_LIMIT;
	if (!limit_may_be_listed(ladder))
		return;
	route = bpf_map_lookup_elem(&thr_routes, &place);
	if (!route)
		return;
	if (route->generation != ladder->settings->generation || route->source[0] != source[0] ||
	    route->source[1] != source[1]) {
		limit_ask_trie(ladder, policy, action);
		route->source[0] = source[0];
		route->source[1] = source[1];
		route->generation = ladder->settings->generation;
		route->policy = *policy;
		route->action = *action;
		return;
	}
	*policy = route->policy;
	*action = route->action;
}

/* --- the buckets --- */

static __always_inline const struct thr_policy *limit_policy(__u32 slot, __u32 index)
{
	__u32 key = slot * THR_POLICIES_MAX + index;

	return bpf_map_lookup_elem(&thr_policies, &key);
}

static __always_inline __be64 limit_mask(__u32 bits)
{
	return bits >= 64 ? ~0ULL : bits ? bpf_cpu_to_be64(~0ULL << (64 - bits)) : 0;
}

/* One taking from one bucket. */
struct charge {
	struct thr_bucket_key key;
	__u64 window; /* of the limit, in ticks */
	__u64 spent;  /* ticks to take */
	__u64 slack;  /* thr_live.clock_slack */
	__u64 now;    /* fine clock in ticks; 0 until it was read for this packet */
	__u32 kind;
	__u32 unused;
};

static __always_inline void limit_set_key(const struct ladder *ladder, __u32 scope,
					  struct thr_bucket_key *key)
{
	key->source[0] = ladder->packet->source[0];
	key->source[1] = ladder->packet->source[1];
	key->scope = scope;
	if (scope & THR_SCOPE_WIDE) {
		__u32 bits = THR_SCOPE_BITS(scope);

		key->source[0] &= limit_mask(bits);
		key->source[1] &= limit_mask(bits > 64 ? bits - 64 : 0);
	} else if (ladder->packet->is_v6) {
		key->source[0] &= ladder->settings->v6_source_mask[0];
		key->source[1] &= ladder->settings->v6_source_mask[1];
	}
}

static __always_inline struct thr_bucket *limit_bucket(const struct thr_bucket_key *key)
{
	const struct thr_bucket full = {};
	struct thr_bucket *bucket = bpf_map_lookup_elem(&thr_buckets, key);

	if (bucket)
		return bucket;
	/* Where another CPU has made it in the meantime, that one is used. */
	bpf_map_update_elem(&thr_buckets, key, &full, BPF_NOEXIST);
	return bpf_map_lookup_elem(&thr_buckets, key);
}

static __always_inline bool limit_surely_over(const struct charge *charge, const __u64 *tat)
{
	__u64 early;

	if (charge->now || !charge->slack)
		return false;
	early = clock_coarse_ns() << THR_TICK_SHIFT;
	return thr_bucket_surely_over(*(const volatile __u64 *)tat, early, early + charge->slack,
				      charge->window, charge->spent);
}

/*
 * Take from the bucket. Returns 0, the reason of the refusal, or
 * THR_REASON_NO_BUCKET where the table yields no entry: there the throttle
 * fails open.
 */
__noinline int limit_take(struct charge *charge)
{
	struct thr_bucket *bucket;
	__u64 *tat;

	if (!charge)
		return THR_REASON_NO_BUCKET;
	bucket = limit_bucket(&charge->key);
	if (!bucket || charge->kind >= THR_KINDS)
		return THR_REASON_NO_BUCKET;
	tat = &bucket->tat[charge->kind];
	if (!limit_surely_over(charge, tat)) {
		if (!charge->now)
			charge->now = clock_fine_ns() << THR_TICK_SHIFT;
		if (thr_bucket_take(tat, charge->now, charge->window, charge->spent))
			return 0;
	}
	return (charge->key.scope & THR_SCOPE_WIDE ? THR_REASON_PREFIX_OVER_CONNECTIONS
						   : THR_REASON_OVER_CONNECTIONS) +
	       charge->kind;
}

__noinline int limit_give_back(const struct charge *charge)
{
	struct thr_bucket *bucket;

	if (!charge)
		return 0;
	bucket = bpf_map_lookup_elem(&thr_buckets, &charge->key);
	if (bucket && charge->kind < THR_KINDS)
		thr_bucket_give(&bucket->tat[charge->kind], charge->spent);
	return 0;
}

/* Fill `charge` in for `kind` under `first`, or under `second` where `first`
 * has no such limit; false when neither has. */
static __always_inline bool limit_set_charge(const struct ladder *ladder, __u32 kind,
					     const struct thr_policy *first,
					     const struct thr_policy *second, struct charge *charge)
{
	const struct thr_limit *limit = &first->limit[kind];

	if (!limit->interval)
		limit = &second->limit[kind];
	if (!limit->interval)
		return false;
	limit_set_key(ladder, limit->scope, &charge->key);
	charge->kind = kind;
	charge->window = limit->window;
	charge->spent = thr_bucket_ticks(limit->interval, kind == THR_BYTES ? ladder->bytes : 1);
	return true;
}

/* Charge each of `kinds`; what was taken is given back when one refuses. */
static __always_inline int limit_charge_kinds(const struct ladder *ladder, __u32 kinds,
					      const struct thr_policy *first,
					      const struct thr_policy *second,
					      struct charge *charge)
{
	int reason = 0;
	__u32 kind;

	for (kind = 0; kind < THR_KINDS && !reason; kind++)
		if (kinds >> kind & 1 && limit_set_charge(ladder, kind, first, second, charge))
			reason = limit_take(charge);
	if (reason)
		for (__u32 taken = 0; taken < THR_KINDS; taken++)
			if (taken + 1 < kind && kinds >> taken & 1 &&
			    limit_set_charge(ladder, taken, first, second, charge))
				limit_give_back(charge);
	return reason;
}

/* The source's own buckets, then those of its prefix. */
static __always_inline int limit_charge_all(const struct ladder *ladder, __u32 kinds, __u32 policy)
{
	const struct thr_policy *service = limit_policy(ladder->slot, ladder->service);
	const struct thr_policy *own = policy ? limit_policy(ladder->slot, policy) : service;
	struct charge charge = {.slack = ladder->live->clock_slack};
	const struct thr_policy *tier;
	__u32 tier_index;
	int reason;

	if (!service || !own)
		return THR_REASON_NO_BUCKET;
	reason = limit_charge_kinds(ladder, kinds, own, service, &charge);
	tier_index = ladder->packet->is_v6 ? service->tier[1] : service->tier[0];
	if (reason || !tier_index)
		return reason;
	tier = limit_policy(ladder->slot, tier_index);
	if (!tier)
		return THR_REASON_NO_BUCKET;
	reason = limit_charge_kinds(ladder, kinds, tier, tier, &charge);
	if (reason)
		for (__u32 kind = 0; kind < THR_KINDS; kind++)
			if (kinds >> kind & 1 &&
			    limit_set_charge(ladder, kind, own, service, &charge))
				limit_give_back(&charge);
	return reason;
}

static __always_inline __u32 limit_find_service(__u32 slot, __u16 port)
{
	__u32 group = slot * THR_PORT_GROUPS + port / 8;
	const struct thr_ports *ports = bpf_map_lookup_elem(&thr_ports, &group);

	return ports ? ports->service[port % 8] : 0;
}

/*
 * Walk the ladder for a packet of `class`. Returns the reason, which may be
 * the class's own: the packet passes its limits.
 *
 * A global function: the verifier proves it once, not for each way through the
 * parser. For the same reason its arguments may be NULL to the verifier.
 */
__noinline int limit_packet(const struct packet *packet, const struct class *class,
			    const struct thr_live *live, __u32 slot, __u32 bytes)
{
	struct ladder ladder = {.packet = packet, .live = live, .bytes = bytes};
	__u32 policy = 0, action = THR_SOURCE_LIMIT;
	__u32 kinds;
	int reason;

	if (!packet || !class || !live)
		return THR_REASON_NO_BUCKET;
	ladder.slot = slot & (THR_SLOTS - 1);
	ladder.settings = &live->slot[ladder.slot];
	kinds = class->kinds & ladder.settings->kinds;
	if (ladder.settings->flags & THR_SOURCES_ANY && (kinds || class->listed))
		limit_find_source(&ladder, &policy, &action);
	if (action == THR_SOURCE_DENY)
		return THR_REASON_DENIED;
	if (action == THR_SOURCE_ALLOW)
		return THR_REASON_ALLOWED;
	if (!kinds)
		return class->pass;
	ladder.service = packet->port ? limit_find_service(ladder.slot, packet->port) : 0;
	reason = limit_charge_all(&ladder, kinds, policy);
	return reason ? reason : class->pass;
}

#endif
