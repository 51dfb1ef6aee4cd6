/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answers without Redis; see degraded.h. */
#include "store/degraded.h"

#include "core/clock.h"
#include "store/stand.h"

void thr_degraded_init(struct thr_degraded *degraded, struct thr_memory *buckets)
{
	*degraded = (struct thr_degraded){
		.buckets = buckets,
		.scope = thr_hash_scope(thr_memory_hash_key(buckets), "degraded"),
		.instances = 1,
	};
}

/* The instance's share. The interval of a token may be longer than a number holds: 5 hours
 * is then the longest. */
static struct thr_store_limit share_of(const struct thr_store_limit *limit, uint64_t instances)
{
	struct thr_store_limit share = *limit;

	if (__builtin_mul_overflow(limit->interval, instances, &share.interval))
		share.interval = UINT64_MAX;
	share.burst = limit->burst / instances;
	if (!share.burst)
		share.burst = 1;
	share.window = thr_bucket_ticks(share.interval, share.burst);
	return share;
}

static void take_locally(const struct thr_degraded *degraded, struct thr_ask *ask, uint64_t now_ns)
{
	struct thr_store_limit share = share_of(&ask->limit, degraded->instances);
	uint64_t cost = ask->cost < share.burst ? ask->cost : share.burst;
	const struct thr_memory_key *key = &ask->key;
	struct thr_memory_key own = {
		.key = thr_hash_in(&degraded->scope, key->key),
		.group = {thr_hash_in(&degraded->scope, key->group[0]),
			  thr_hash_in(&degraded->scope, key->group[1])},
	};

	thr_memory_take(degraded->buckets, &own, &share, cost, now_ns, &ask->standing);
	ask->standing.limit = ask->limit.burst;
}

/* As if nobody else had taken anything. */
static void allow(struct thr_ask *ask)
{
	struct thr_taking taking = {.state = thr_stand_spent(&ask->limit, ask->cost)};

	thr_stand(&ask->limit, &taking, 0, &ask->standing);
}

static void deny(struct thr_ask *ask, uint64_t retry_ms)
{
	uint64_t retry_ns = (retry_ms ? retry_ms : 1) * THR_NS_PER_MS;

	ask->standing = (struct thr_standing){
		.limit = ask->limit.burst,
		.window_ns = ask->limit.window_ns,
		.reset_ns = retry_ns,
		.retry_ns = retry_ns,
	};
}

void thr_degraded_answer(const struct thr_degraded *degraded, struct thr_ask *ask, uint64_t now_ns,
			 uint64_t retry_ms)
{
	ask->degraded = true;
	switch (ask->on_error) {
	case THR_ON_ERROR_LOCAL:
		take_locally(degraded, ask, now_ns);
		break;
	case THR_ON_ERROR_ALLOW:
		allow(ask);
		break;
	case THR_ON_ERROR_DENY:
		deny(ask, retry_ms);
		break;
	}
}
