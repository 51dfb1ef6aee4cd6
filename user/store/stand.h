/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a bucket to where its client stands: the same for every store. */
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

/* Fill the standing from what thr_bucket_judge() came to at `now` (ticks). */
void thr_stand(const struct thr_store_limit *limit, const struct thr_taking *taking, uint64_t now,
	       struct thr_standing *ret_standing);

/* The same after a taking of `cost`, judged by thr_stand_spent(). A look is told by whether
 * one token could be had, a cost over the burst is refused for ever. */
void thr_stand_after(const struct thr_store_limit *limit, uint64_t cost,
		     const struct thr_taking *taking, uint64_t now,
		     struct thr_standing *ret_standing);

#endif
