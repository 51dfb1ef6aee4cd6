/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate with own buckets and promotion, as bpf/limit.h puts them together, on the
 * host and under a clock of the test's. Beside what each source is let take stands an
 * exact account of what it took. One CPU: nothing races.
 */
#ifndef THR_TEST_GATE_MODEL_H
#define THR_TEST_GATE_MODEL_H

#include <string.h>

#include "support/host_bpf.h"
#include "thr_bucket.h"
#include "gate.h"

#define TICKS_PER_S (1000000000ULL << THR_TICK_SHIFT)

struct gate_source {
	struct thr_cell *cell;
	__u64 hash;
	__u64 window, spent; /* of its limit, in ticks; what one taking takes */
	bool has_own;
	__u64 own;   /* its bucket in the table of own ones */
	__u64 taken; /* all that it took, as a bucket that refuses nothing */
};

enum gate_outcome { MODEL_PASSED, MODEL_OVER, MODEL_NO_OWN };

/* Whether the source may have a bucket of its own now; NULL: always. */
typedef bool gate_promote(struct gate_source *source, __u64 now);

/* A limit of `rate` a second with a burst of `burst` for `source`. */
static inline void gate_model_limit(struct gate_source *source, __u64 rate, __u64 burst)
{
	__u64 interval = thr_bucket_interval(rate, 1);

	source->window = thr_bucket_ticks(interval, burst);
	source->spent = thr_bucket_ticks(interval, 1);
}

/* What limit_charge() does. */
static inline enum gate_outcome gate_model_charge(struct gate_source *source, __u64 now,
						  gate_promote *promote)
{
	struct gate_taking taking = {.now = now, .window = source->window, .spent = source->spent};

	switch (gate_take(source->cell, source->hash, &taking)) {
	case GATE_PASSED:
		return MODEL_PASSED;
	case GATE_OVER:
		return MODEL_OVER;
	case GATE_SHARED:
		break;
	}
	if (!source->has_own) {
		if (promote && !promote(source, now))
			return MODEL_NO_OWN;
		source->has_own = true;
		source->own = 0;
	}
	if (thr_bucket_charge(&source->own, now, source->window, source->spent))
		return MODEL_OVER;
	gate_note(source->cell, &taking);
	return MODEL_PASSED;
}

static inline enum gate_outcome gate_model_take(struct gate_source *source, __u64 now,
						gate_promote *promote)
{
	enum gate_outcome outcome = gate_model_charge(source, now, promote);

	if (outcome == MODEL_PASSED)
		source->taken = (source->taken > now ? source->taken : now) + source->spent;
	return outcome;
}

/* What the source took and its limit has not given back since, in bursts: over any
 * time t it took at most r * t and the largest of these. */
static inline double gate_model_excess(const struct gate_source *source, __u64 now)
{
	return source->taken > now ? (double)(source->taken - now) / source->window : 0;
}

#endif
