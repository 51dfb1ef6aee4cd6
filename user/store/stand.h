/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a bucket to where its client stands: the same for every store. Times are rounded up
 * to a ns, tokens down to whole ones. In a header, because it is a tenth of what a taking
 * from memory costs. */
#ifndef THR_STAND_H
#define THR_STAND_H

#include "core/standing.h"
#include "store/memory.h"
#include "thr_bucket.h"

/* What a taking is judged by, in ticks. 0: it only looks, because it costs nothing, or
 * because it costs more than the burst and never conforms. */
static inline uint64_t thr_stand_spent(const struct thr_store_limit *limit, uint64_t cost)
{
	return cost > limit->burst ? 0 : thr_bucket_ticks(limit->interval, cost);
}

static inline uint64_t thr_stand_ns_up(uint64_t ticks)
{
	return (ticks + (1ULL << THR_TICK_SHIFT) - 1) >> THR_TICK_SHIFT;
}

/* The most tokens for which thr_bucket_ticks() is not over `held`. */
static inline uint64_t thr_stand_tokens(const struct thr_store_limit *limit, uint64_t held)
{
	unsigned __int128 below = (unsigned __int128)(held + 1) << THR_INTERVAL_TO_TICK;
	uint64_t tokens = (uint64_t)((below - 1) / limit->interval);

	return tokens < limit->burst ? tokens : limit->burst;
}

/* Fill the standing from what thr_bucket_judge() came to at `now` (ticks). */
static inline void thr_stand(const struct thr_store_limit *limit, const struct thr_taking *taking,
			     uint64_t now, struct thr_standing *ret_standing)
{
	uint64_t owed = taking->state > now ? taking->state - now : 0;
	uint64_t held = owed < limit->window ? limit->window - owed : 0;

	ret_standing->limit = limit->burst;
	ret_standing->window_ns = limit->window_ns;
	ret_standing->remaining = thr_stand_tokens(limit, held);
	ret_standing->reset_ns = thr_stand_ns_up(owed);
	ret_standing->retry_ns = thr_stand_ns_up(taking->wait);
	ret_standing->allowed = !taking->wait;
}

/* The same after a taking of `cost`, judged by thr_stand_spent(). A look is told by whether
 * one token could be had, a cost over the burst is refused for ever. */
static inline void thr_stand_after(const struct thr_store_limit *limit, uint64_t cost,
				   const struct thr_taking *taking, uint64_t now,
				   struct thr_standing *ret_standing)
{
	bool over = cost > limit->burst;
	struct thr_taking as_told = *taking;

	if (!cost || over)
		as_told.wait = thr_bucket_judge(taking->state, now, limit->window,
						thr_bucket_ticks(limit->interval, 1))
				       .wait;
	thr_stand(limit, &as_told, now, ret_standing);
	if (over) {
		ret_standing->allowed = false;
		ret_standing->retry_ns = UINT64_MAX;
	}
}

#endif
