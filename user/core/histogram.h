/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Durations by size, in memory that one process writes and others read. The bounds are
 * those that Prometheus users know, from 50 us to 10 s: `le` of the buckets.
 */
#ifndef THR_HISTOGRAM_H
#define THR_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define THR_HISTOGRAM_BOUNDS 16

struct thr_histogram {
	uint64_t bucket[THR_HISTOGRAM_BOUNDS + 1]; /* each its own, not cumulative; the last: over
						    * all bounds */
	uint64_t sum_ns;
};

/* 50 us, 100 us, 250 us, 500 us, 1 ms, 2.5 ms, ... 5 s, 10 s: see histogram.c. */
extern const uint64_t thr_histogram_bound_ns[THR_HISTOGRAM_BOUNDS];
/* The same in seconds, and "+Inf". */
extern const char *const thr_histogram_bound_text[THR_HISTOGRAM_BOUNDS + 1];

/* The bucket of a duration: the first whose bound it is not over. Halving 16 bounds takes
 * four comparisons and no jump that a processor could guess wrong; a fifth is for the
 * bucket over all bounds. */
static inline size_t thr_histogram_find(uint64_t ns)
{
	size_t at = 0;

	_Static_assert(THR_HISTOGRAM_BOUNDS == 16, "what is halved below");
	for (size_t half = THR_HISTOGRAM_BOUNDS / 2; half; half /= 2)
		at += ns > thr_histogram_bound_ns[at + half - 1] ? half : 0;
	return at + (ns > thr_histogram_bound_ns[at]);
}

/* Only for the process whose histogram it is. */
static inline void thr_histogram_add(struct thr_histogram *histogram, uint64_t ns)
{
	histogram->bucket[thr_histogram_find(ns)]++;
	histogram->sum_ns += ns;
}

/* Add what `from` counts to `into`. */
static inline void thr_histogram_sum(struct thr_histogram *into, const struct thr_histogram *from)
{
	for (size_t i = 0; i <= THR_HISTOGRAM_BOUNDS; i++)
		into->bucket[i] += __atomic_load_n(&from->bucket[i], __ATOMIC_RELAXED);
	into->sum_ns += __atomic_load_n(&from->sum_ns, __ATOMIC_RELAXED);
}

#endif
