/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The admission ladder: who the source is (source.h), then the buckets that its
 * policy charges: its own for each kind, those of its prefix, and the budget that a
 * service has for sources that are not verified.
 *
 * A packet is charged for every kind it counts for, or for none: what was taken
 * is given back when a later bucket refuses.
 *
 * Each bucket is asked at the gate (gate.h), which decides nearly always. A source
 * whose cell there is over on others' account gets a bucket of its own, but only
 * while the budget for such promotions lasts: it allows the whole table to be filled
 * once a minute, so that a flood takes longer than that to evict who was there. Past
 * it, what the service says of overload decides; where it says nothing, the cell
 * does. A verified source needs no budget: it is no spoofed address.
 *
 * limit_packet() and what it calls by name are global functions: the verifier
 * proves each once, not for every way through the parser. To the verifier their
 * arguments may be NULL, hence the checks.
 */
#ifndef THR_LIMIT_H
#define THR_LIMIT_H

/* Where a taking was charged; what both have is in both. */
#define LIMIT_CELL 1u
#define LIMIT_BUCKET 2u
#define LIMIT_PLACES (LIMIT_CELL | LIMIT_BUCKET)

/* One taking from one bucket. */
struct charge {
	struct thr_bucket_key key;
	struct gate_taking taking;
	__u32 kind;
	bool is_fine;	  /* taking.now is of the fine clock */
	bool is_verified; /* the source, which needs no budget for a bucket then */
	__u16 places;	  /* after the taking: LIMIT_CELL, LIMIT_BUCKET */
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

/*
 * The coarse clock is behind by less than a tick. Where a tick's refill is at most 1 %
 * of the burst, it decides alone: tokens come up to a tick late, and a full bucket
 * lets up to a tick's refill more pass, once; neither adds up. Elsewhere it decides
 * what holds throughout the tick, and for the rest the fine clock is read, once a
 * packet.
 */
static __always_inline bool limit_is_coarse(__u64 window, const struct thr_live *live)
{
	__u64 tick = live->jiffy_ns << THR_TICK_SHIFT;

	return tick && window >= 100 * tick;
}

static __always_inline void limit_read_clock(struct charge *charge)
{
	charge->taking.now = clock_ns() << THR_TICK_SHIFT;
	charge->is_fine = true;
}

/* Before a taking: a full bucket is charged from the time of the taking on. */
static __always_inline void limit_prepare(const __u64 *tat, struct charge *charge,
					  const struct thr_live *live)
{
	if (!charge->is_fine && *(const volatile __u64 *)tat <= charge->taking.now &&
	    !limit_is_coarse(charge->taking.window, live))
		limit_read_clock(charge);
}

/* After a refusal: whether it might not hold at the true time, which is read then. */
static __always_inline bool limit_sharpen(struct charge *charge, const struct thr_live *live)
{
	__u64 tick = live->jiffy_ns << THR_TICK_SHIFT;

	if (charge->is_fine || limit_is_coarse(charge->taking.window, live) ||
	    (tick && charge->taking.wait > tick))
		return false;
	limit_read_clock(charge);
	return true;
}

static __always_inline bool limit_try(__u64 *tat, struct gate_taking *taking)
{
	taking->wait = thr_bucket_charge(tat, taking->now, taking->window, taking->spent);
	return !taking->wait;
}

/* Take from a bucket that is `tat`. */
static __always_inline bool limit_take(__u64 *tat, struct charge *charge,
				       const struct thr_live *live)
{
	limit_prepare(tat, charge, live);
	return limit_try(tat, &charge->taking) ||
	       (limit_sharpen(charge, live) && limit_try(tat, &charge->taking));
}

/* Take one token from a budget, as another taking of `charge`. */
static __always_inline bool limit_take_budget(__u32 number, struct charge *charge,
					      const struct thr_limit *limit,
					      const struct thr_live *live)
{
	struct thr_budget *budget = bpf_map_lookup_elem(&thr_budgets, &number);

	charge->taking.window = limit->window;
	charge->taking.spent = thr_bucket_ticks(limit->interval, 1);
	return !budget || limit_take(&budget->tat, charge, live);
}

/* --- a source's own bucket --- */

static __always_inline struct thr_bucket *limit_make_bucket(const struct thr_bucket_key *key)
{
	const struct thr_bucket full = {};

	/* Where another CPU has made it in the meantime, that one is used. */
	bpf_map_update_elem(&thr_buckets, key, &full, BPF_NOEXIST);
	return bpf_map_lookup_elem(&thr_buckets, key);
}

static __always_inline bool limit_may_promote(struct charge *charge, const struct thr_live *live)
{
	__u64 window = charge->taking.window, spent = charge->taking.spent;
	bool may = charge->is_verified || !live->promotion.interval ||
		   limit_take_budget(THR_BUDGET_PROMOTION, charge, &live->promotion, live);

	charge->taking.window = window;
	charge->taking.spent = spent;
	charge->taking.wait = 0;
	return may;
}

/* Its cell is over on others' account: take from its own bucket, which is made now
 * where the budget for promotions allows. `key` is the charge's. */
static __always_inline int limit_charge_own(const struct thr_bucket_key *key, struct charge *charge,
					    const struct thr_live *live)
{
	struct thr_bucket *bucket = bpf_map_lookup_elem(&thr_buckets, key);

	if (!bucket) {
		if (!limit_may_promote(charge, live))
			return THR_REASON_NO_OWN_BUCKET;
		bucket = limit_make_bucket(key);
	}
	if (!bucket || charge->kind >= THR_KINDS)
		return THR_REASON_NO_BUCKET;
	return limit_take(&bucket->tat[charge->kind], charge, live) ? 0
								    : THR_REASON_OVER_CONNECTIONS;
}

static __always_inline struct thr_cell *limit_cell(const struct thr_live *live, __u64 hash)
{
	__u32 place = hash >> (live->gate_shift & 63);

	return bpf_map_lookup_elem(&thr_gate, &place);
}

static __always_inline enum gate_verdict limit_ask_gate(struct thr_cell *cell, __u64 hash,
							struct charge *charge,
							const struct thr_live *live)
{
	enum gate_verdict verdict;

	limit_prepare(&cell->tat, charge, live);
	verdict = gate_take(cell, hash, &charge->taking);
	if (verdict != GATE_PASSED && limit_sharpen(charge, live))
		verdict = gate_take(cell, hash, &charge->taking);
	return verdict;
}

/*
 * Take from the bucket that the charge's key names: the gate's, or where that does
 * not decide, its own. Every tier comes through here. Returns 0 with charge->places
 * set; the reason of the refusal, with taking.wait where it is known; or
 * THR_REASON_NO_BUCKET where no map yields an entry: there the throttle fails open.
 */
__noinline int limit_charge(struct charge *charge, const struct thr_live *live)
{
	struct thr_bucket_key key;
	enum gate_verdict verdict;
	struct thr_cell *cell;
	__u64 hash;
	int reason;

	if (!charge || !live)
		return THR_REASON_NO_BUCKET;
	/* Linux 6.1 takes a key from the stack, not from an argument. */
	key = charge->key;
	hash = gate_hash(live->seed, &key, charge->kind);
	cell = limit_cell(live, hash);
	if (!cell)
		return THR_REASON_NO_BUCKET;
	charge->places = LIMIT_CELL;
	verdict = limit_ask_gate(cell, hash, charge, live);
	if (verdict == GATE_PASSED)
		return 0;
	if (verdict == GATE_SHARED) {
		reason = limit_charge_own(&key, charge, live);
		if (!reason)
			charge->places =
				LIMIT_BUCKET | (gate_note(cell, &charge->taking) ? LIMIT_CELL : 0);
		if (reason != THR_REASON_OVER_CONNECTIONS)
			return reason;
	}
	return (charge->key.scope & THR_SCOPE_WIDE ? THR_REASON_PREFIX_OVER_CONNECTIONS
						   : THR_REASON_OVER_CONNECTIONS) +
	       charge->kind;
}

/* Undo limit_charge() of this packet, by its charge->places. */
__noinline int limit_give_back(const struct charge *charge, const struct thr_live *live)
{
	struct thr_bucket_key key;
	struct thr_bucket *bucket;
	struct thr_cell *cell;

	if (!charge || !live)
		return 0;
	key = charge->key; /* as above */
	cell = limit_cell(live, gate_hash(live->seed, &key, charge->kind));
	if (cell && charge->places & LIMIT_CELL)
		thr_bucket_give(&cell->tat, charge->taking.spent);
	if (!(charge->places & LIMIT_BUCKET))
		return 0;
	bucket = bpf_map_lookup_elem(&thr_buckets, &key);
	if (bucket && charge->kind < THR_KINDS)
		thr_bucket_give(&bucket->tat[charge->kind], charge->taking.spent);
	return 0;
}

/* --- all buckets of a packet --- */

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
	charge->taking.window = limit->window;
	charge->taking.wait = 0;
	/* Cookies come back closer together than their SYNs were let through. */
	if (ladder->ask->returns && kind == THR_CONNECTIONS) {
		charge->key.scope |= THR_SCOPE_COOKIE;
		charge->taking.window *= 2;
	}
	charge->taking.spent =
		thr_bucket_ticks(limit->interval, kind == THR_BYTES ? ladder->ask->bytes : 1);
	return true;
}

/* The policy of a tier and the one that it falls back to, and where ladder->places
 * keeps its takings: two bits for each kind, from `shift` on. */
struct tier {
	const struct thr_policy *first, *second;
	__u32 shift;
};

/* Give back what the packet took in this tier. */
static __always_inline void limit_give_back_tier(struct ladder *ladder, const struct tier *tier,
						 struct charge *charge)
{
	for (__u32 kind = 0; kind < THR_KINDS; kind++) {
		charge->places = ladder->places >> (tier->shift + 2 * kind) & LIMIT_PLACES;
		if (charge->places &&
		    limit_set_charge(ladder, kind, tier->first, tier->second, charge))
			limit_give_back(charge, ladder->live);
	}
}

/* Charge the kinds of the packet one by one, up to the first that is refused. */
static __always_inline int limit_charge_tier(struct ladder *ladder, const struct tier *tier,
					     struct charge *charge)
{
	for (__u32 kind = 0; kind < THR_KINDS; kind++) {
		int reason;

		if (!limit_set_charge(ladder, kind, tier->first, tier->second, charge))
			continue;
		reason = limit_charge(charge, ladder->live);
		if (!reason) {
			ladder->places |= charge->places << (tier->shift + 2 * kind);
			continue;
		}
		if (charge->taking.wait)
			source_remember_refusal(ladder, kind, reason, charge->taking.wait);
		return reason;
	}
	return 0;
}

/* --- the budget for new sources --- */

/* Whether the budget has no token; nothing is taken. A debt that a limit before this
 * one left is none: the taking forgives it (thr_bucket.h). */
static __always_inline bool limit_is_exhausted(const struct ladder *ladder,
					       const struct thr_service *service)
{
	__u32 number = ladder->service;
	const struct thr_budget *budget = bpf_map_lookup_elem(&thr_budgets, &number);
	__u64 window = service->new_sources.window;
	__u64 token = thr_bucket_ticks(service->new_sources.interval, 1);
	__u64 tat = budget ? *(const volatile __u64 *)&budget->tat : 0;
	__u64 full = (ladder->now_ns << THR_TICK_SHIFT) + window - token;

	if (tat > full && !limit_is_coarse(window, ladder->live))
		full = (clock_ns() << THR_TICK_SHIFT) + window - token;
	return tat > full && tat <= full + token + THR_CLOCK_SKEW;
}

/* What becomes of a packet for which a budget has nothing left; `reason` where the
 * service does not say. */
static __always_inline int limit_overload(const struct ladder *ladder,
					  const struct thr_service *service, int reason)
{
	if (!ladder->is_budgeted || service->on_overload == THR_OVERLOAD_DROP)
		return reason;
	return service->on_overload == THR_OVERLOAD_PASS ? THR_REASON_OVERLOAD_PASSED
							 : THR_REASON_CHALLENGED;
}

/*
 * The source's own buckets, then those of its prefix, then the service's budget:
 * charged all, or none. But what a budget's end lets pass, or has answered with a
 * cookie, stays charged to the buckets that had it: so nobody is sent more answers
 * than connections he may open, unless it is his own bucket that cannot be had.
 */
static __always_inline int limit_charge_all(struct ladder *ladder, const struct tier *own,
					    const struct tier *wide,
					    const struct thr_service *service)
{
	struct charge charge = {.taking.now = ladder->now_ns << THR_TICK_SHIFT,
				.is_verified = ladder->is_verified};
	int reason = limit_charge_tier(ladder, own, &charge);

	if (!reason && wide->first)
		reason = limit_charge_tier(ladder, wide, &charge);
	if (!reason && ladder->is_budgeted &&
	    !limit_take_budget(ladder->service, &charge, &service->new_sources, ladder->live))
		reason = THR_REASON_NEW_SOURCES_OVER;
	if (reason == THR_REASON_NEW_SOURCES_OVER || reason == THR_REASON_NO_OWN_BUCKET)
		reason = limit_overload(ladder, service, reason);
	if (!reason || reason == THR_REASON_OVERLOAD_PASSED || reason == THR_REASON_CHALLENGED)
		return reason;
	if (wide->first)
		limit_give_back_tier(ladder, wide, &charge);
	limit_give_back_tier(ladder, own, &charge);
	return reason;
}

/* Find out what the source is limited by, and charge it. Where a budget's end means
 * drop, it is asked before all else: a flood beyond it then touches no memory but
 * the budget's. */
static __always_inline int limit_source(struct ladder *ladder)
{
	__u32 key = ladder->slot * (THR_SERVICES_MAX + 1) + ladder->service;
	const struct thr_service *service = bpf_map_lookup_elem(&thr_services, &key);
	struct tier own = {.second = limit_policy(ladder->slot, ladder->service)};
	struct tier wide = {.shift = 2 * THR_KINDS};
	__u32 index;

	own.first = ladder->policy ? limit_policy(ladder->slot, ladder->policy) : own.second;
	if (!service || !own.first || !own.second)
		return THR_REASON_NO_BUCKET;
	index = ladder->ask->is_v6 ? service->tier[1] : service->tier[0];
	wide.first = wide.second = index ? limit_policy(ladder->slot, index) : NULL;
	ladder->is_verified = ladder->ask->returns || source_is_verified(ladder);
	ladder->is_budgeted =
		ladder->ask->opens && service->new_sources.interval && !ladder->is_verified;
	if (ladder->is_budgeted && service->on_overload == THR_OVERLOAD_DROP &&
	    limit_is_exhausted(ladder, service))
		return THR_REASON_NEW_SOURCES_OVER;
	return limit_charge_all(ladder, &own, &wide, service);
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
	if (source_is_blocked(&ladder))
		return THR_REASON_BLOCKED;
	return ask->kinds || ask->opens ? limit_source(&ladder) : 0;
}

#endif
