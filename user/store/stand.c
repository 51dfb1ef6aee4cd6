/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Times are rounded up to a ns, tokens down to whole ones; see stand.h. */
#include "store/stand.h"

static uint64_t ns_up(uint64_t ticks)
{
	return (ticks + (1ULL << THR_TICK_SHIFT) - 1) >> THR_TICK_SHIFT;
}

/* The most tokens for which thr_bucket_ticks() is not over `held`. */
static uint64_t whole_tokens(const struct thr_store_limit *limit, uint64_t held)
{
	unsigned __int128 below = (unsigned __int128)(held + 1) << THR_INTERVAL_TO_TICK;
	uint64_t tokens = (uint64_t)((below - 1) / limit->interval);

	return tokens < limit->burst ? tokens : limit->burst;
}

void thr_stand(const struct thr_store_limit *limit, const struct thr_taking *taking, uint64_t now,
	       struct thr_standing *ret_standing)
{
	uint64_t owed = taking->state > now ? taking->state - now : 0;
	uint64_t held = owed < limit->window ? limit->window - owed : 0;

	ret_standing->limit = limit->burst;
	ret_standing->window_ns = limit->window_ns;
	ret_standing->remaining = whole_tokens(limit, held);
	ret_standing->reset_ns = ns_up(owed);
	ret_standing->retry_ns = ns_up(taking->wait);
	ret_standing->allowed = !taking->wait;
}

void thr_stand_after(const struct thr_store_limit *limit, uint64_t cost,
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
