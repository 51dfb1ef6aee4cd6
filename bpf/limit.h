/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The admission ladder: who the source is (source.h), then the buckets that its
 * policy charges: its own for each kind, and those of its prefix.
 *
 * A packet is charged for every kind it counts for, or for none: what was taken
 * is given back when a later bucket refuses.
 *
 * limit_packet() and what it calls by name are global functions: the verifier
 * proves each once, not for every way through the parser. To the verifier their
 * arguments may be NULL, hence the checks.
 */
#ifndef THR_LIMIT_H
#define THR_LIMIT_H

/* One taking from one bucket. */
struct charge {
	struct thr_bucket_key key;
	__u64 window; /* of the limit, in ticks */
	__u64 spent;  /* ticks to take */
	__u64 now;    /* in ticks; 0 until the clock was read for this packet */
	__u64 wait;   /* after a refusal: ticks until it would conform */
	__u32 kind;
	__u32 unused;
};

static __always_inline const struct thr_policy *limit_policy(__u32 slot, __u32 index)
{
	__u32 key = slot * THR_POLICIES_MAX + index;

	return bpf_map_lookup_elem(&thr_policies, &key);
}

/* The bits of one half of an address that lie within `bits`. */
static __always_inline __be64 limit_mask(__u32 bits)
{
	return bits >= 64 ? ~0ULL : bits ? bpf_cpu_to_be64(~0ULL << (64 - bits)) : 0;
}

static __always_inline void limit_set_key(const struct ladder *ladder, __u32 scope,
					  struct thr_bucket_key *key)
{
	key->source[0] = ladder->ask->source[0];
	key->source[1] = ladder->ask->source[1];
	key->scope = scope;
	key->is_v6 = ladder->ask->is_v6;
	if (scope & THR_SCOPE_HAS_BITS) {
		__u32 bits = THR_SCOPE_BITS(scope);

		key->source[0] &= limit_mask(bits);
		key->source[1] &= limit_mask(bits > 64 ? bits - 64 : 0);
	} else if (ladder->ask->is_v6) {
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

/*
 * Take from the bucket. Returns 0, the reason of the refusal with charge->wait
 * set, or THR_REASON_NO_BUCKET where the table yields no entry: there the
 * throttle fails open.
 */
__noinline int limit_charge(struct charge *charge)
{
	struct thr_bucket_key key;
	struct thr_bucket *bucket;
	__u64 *tat;

	if (!charge)
		return THR_REASON_NO_BUCKET;
	/* Linux 6.1 takes a key from the stack, not from an argument. */
	key = charge->key;
	bucket = limit_bucket(&key);
	if (!bucket || charge->kind >= THR_KINDS)
		return THR_REASON_NO_BUCKET;
	tat = &bucket->tat[charge->kind];
	if (!charge->now)
		charge->now = clock_ns() << THR_TICK_SHIFT;
	charge->wait = thr_bucket_charge(tat, charge->now, charge->window, charge->spent);
	if (!charge->wait)
		return 0;
	return (charge->key.scope & THR_SCOPE_WIDE ? THR_REASON_PREFIX_OVER_CONNECTIONS
						   : THR_REASON_OVER_CONNECTIONS) +
	       charge->kind;
}

/* Undo limit_charge() of this packet. */
__noinline int limit_give_back(const struct charge *charge)
{
	struct thr_bucket_key key;
	struct thr_bucket *bucket;

	if (!charge)
		return 0;
	key = charge->key; /* as above */
	bucket = bpf_map_lookup_elem(&thr_buckets, &key);
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

	if (!(ladder->ask->kinds >> kind & 1))
		return false;
	if (!limit->interval)
		limit = &second->limit[kind];
	if (!limit->interval)
		return false;
	limit_set_key(ladder, limit->scope, &charge->key);
	charge->kind = kind;
	charge->window = limit->window;
	charge->spent =
		thr_bucket_ticks(limit->interval, kind == THR_BYTES ? ladder->ask->bytes : 1);
	return true;
}

/* Give back the first `kinds` kinds of the packet. */
static __always_inline void limit_give_back_kinds(const struct ladder *ladder, __u32 kinds,
						  const struct thr_policy *first,
						  const struct thr_policy *second,
						  struct charge *charge)
{
	for (__u32 kind = 0; kind < THR_KINDS && kind < kinds; kind++)
		if (limit_set_charge(ladder, kind, first, second, charge))
			limit_give_back(charge);
}

/* Charge every kind of the packet, or none. */
static __always_inline int limit_charge_kinds(const struct ladder *ladder,
					      const struct thr_policy *first,
					      const struct thr_policy *second,
					      struct charge *charge)
{
	for (__u32 kind = 0; kind < THR_KINDS; kind++) {
		int reason;

		if (!limit_set_charge(ladder, kind, first, second, charge))
			continue;
		reason = limit_charge(charge);
		if (!reason)
			continue;
		if (reason != THR_REASON_NO_BUCKET)
			source_remember_refusal(ladder, kind, reason, charge->wait);
		limit_give_back_kinds(ladder, kind, first, second, charge);
		return reason;
	}
	return 0;
}

static __always_inline const struct thr_policy *limit_tier(const struct ladder *ladder)
{
	__u32 key = ladder->slot * (THR_SERVICES_MAX + 1) + ladder->service;
	const struct thr_service *service = bpf_map_lookup_elem(&thr_services, &key);
	__u32 index = 0;

	if (service)
		index = ladder->ask->is_v6 ? service->tier[1] : service->tier[0];
	return index ? limit_policy(ladder->slot, index) : NULL;
}

/* The source's own buckets, then those of its prefix. */
static __always_inline int limit_charge_all(const struct ladder *ladder)
{
	const struct thr_policy *service = limit_policy(ladder->slot, ladder->service);
	const struct thr_policy *own = service, *tier;
	struct charge charge = {};
	int reason;

	if (ladder->policy)
		own = limit_policy(ladder->slot, ladder->policy);
	if (!service || !own)
		return THR_REASON_NO_BUCKET;
	reason = limit_charge_kinds(ladder, own, service, &charge);
	if (reason)
		return reason;
	tier = limit_tier(ladder);
	if (!tier)
		return 0;
	reason = limit_charge_kinds(ladder, tier, tier, &charge);
	if (reason)
		limit_give_back_kinds(ladder, THR_KINDS, own, service, &charge);
	return reason;
}

/* Walk the ladder. Returns 0 when nothing speaks against the packet, or a
 * reason, which may be one that passes. */
__noinline int limit_packet(const struct ask *ask, const struct thr_live *live, __u32 slot)
{
	struct ladder ladder = {.ask = ask, .live = live, .slot = slot & (THR_SLOTS - 1)};
	int reason;

	if (!ask || !live)
		return THR_REASON_NO_BUCKET;
	ladder.settings = &live->slot[ladder.slot];
	reason = source_find(&ladder);
	if (reason)
		return reason;
	if (ladder.action == THR_SOURCE_DENY)
		return THR_REASON_DENIED;
	if (ladder.action == THR_SOURCE_ALLOW)
		return THR_REASON_ALLOWED;
	return ask->kinds ? limit_charge_all(&ladder) : 0;
}

#endif
