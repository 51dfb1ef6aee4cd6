/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The token bucket, as one 64-bit number.
 *
 * A bucket is kept as its theoretical arrival time (TAT): the moment at which
 * it will be full again. This is the generic cell rate algorithm (GCRA) in its
 * virtual scheduling form, ITU-T I.371 Annex A:
 *
 *        now                TAT                 now + window
 *   ------|------------------|----------------------|----> time
 *         |<- tokens spent ->|<--- tokens left ---->|
 *
 * Taking a token moves TAT by the time that one token takes to come back; the
 * taking conforms while TAT stays within the window, which is the time that a
 * whole burst takes. Refill needs no work, so it has no remainder to lose and
 * no drift, and a bucket changes by one compare-and-swap, so a limit holds
 * across CPUs without a lock. A zeroed bucket is a full one.
 *
 * This header is the only place for that arithmetic: the XDP program, the
 * proxy and the check API include it, and the tests run it on the host. It is
 * pure but for thr_bucket_charge() and thr_bucket_give(), and has no division.
 *
 * Units: a tick is 1/16 ns, so that a 64-byte packet at 10 Gbit/s is rounded by
 * 0.1 %, and 64 bits last for 36 years of uptime. The time of one token is kept
 * finer still, in 2^-20 ns, because a byte at 10 Gbit/s takes 0.8 ns.
 */
#ifndef THR_BUCKET_H
#define THR_BUCKET_H

#include <stdbool.h>
#include <linux/types.h>

#define THR_TICK_SHIFT 4      /* ticks in a nanosecond, as a power of two */
#define THR_INTERVAL_SHIFT 20 /* units of an interval in a nanosecond */
#define THR_INTERVAL_TO_TICK (THR_INTERVAL_SHIFT - THR_TICK_SHIFT)

/* The longest time that a bucket may take to fill: 2^59 ticks, 416 days. Below
 * it no sum in this header overflows within 34 years of uptime. */
#define THR_WINDOW_MAX (1ULL << 59)

/* 50 ms: how much older than another's the clock that a CPU judges by may be. It
 * was read before the bucket was, and a virtual CPU may have stood still between. */
#define THR_CLOCK_SKEW (50000000ULL << THR_TICK_SHIFT)

/* The largest taking that is added before it is judged: 49 us, so that 1024 CPUs
 * that add at once stay within THR_CLOCK_SKEW. */
#define THR_ADD_FIRST_MAX (THR_CLOCK_SKEW / 1024)

/* Tries of compare-and-swap before thr_bucket_charge() adds unconditionally. */
#define THR_BUCKET_TRIES 8

/* Ticks that `cost` tokens of `interval` take to come back. The product is
 * formed in two halves; it is exact to a tick while it is under
 * THR_WINDOW_MAX, which thr_bucket_fits() decides for a whole burst. */
static inline __u64 thr_bucket_ticks(__u64 interval, __u64 cost)
{
	__u64 whole = interval >> THR_INTERVAL_TO_TICK;
	__u64 rest = interval & ((1ULL << THR_INTERVAL_TO_TICK) - 1);

	return whole * cost + ((rest * cost) >> THR_INTERVAL_TO_TICK);
}

/* Whether a limit can be kept by a bucket: the burst must come back within
 * THR_WINDOW_MAX and take at least a tick. */
static inline bool thr_bucket_fits(__u64 interval, __u64 burst)
{
	__u64 whole = (interval >> THR_INTERVAL_TO_TICK) + 1;

	if (!interval || !burst || burst > (1ULL << 40))
		return false;
	return burst < THR_WINDOW_MAX / whole && thr_bucket_ticks(interval, burst) > 0;
}

/* The time of one token in 2^-20 ns when `rate` tokens come in `per_s` seconds
 * (at most 3600), rounded to nearest; 0 when there is none. */
static inline __u64 thr_bucket_interval(__u64 rate, __u32 per_s)
{
	__u64 period = (__u64)per_s * 1000000000ULL << THR_INTERVAL_SHIFT;

	return rate ? (period + rate / 2) / rate : 0;
}

/* What a taking comes to. */
struct thr_taking {
	__u64 state; /* the bucket after it; after a refusal, as it must stand */
	__u64 wait;  /* ticks until the same taking conforms; 0 when it does */
};

/*
 * Judge the taking of `spent` ticks (thr_bucket_ticks() of the cost) from the
 * bucket `state` at `now` (ticks of a monotonic clock) under `window`.
 *
 * A state beyond now + window, and by more than clocks differ, cannot have come
 * from this limit: the limit was changed while the bucket was in debt. It is
 * judged, and left, as an empty bucket of the new limit, so that a raised limit
 * holds from now on.
 */
static inline struct thr_taking thr_bucket_judge(__u64 state, __u64 now, __u64 window, __u64 spent)
{
	struct thr_taking taking = {.state = state};
	__u64 base = state > now ? state : now;

	if (base > now + window + THR_CLOCK_SKEW)
		taking.state = base = now + window;
	if (base + spent <= now + window)
		taking.state = base + spent;
	else
		taking.wait = base + spent - (now + window);
	return taking;
}

/*
 * Take from a bucket that others take from at the same time. Returns 0 when the
 * taking conforms, else the ticks until it would, with nothing taken.
 *
 * Each lost compare-and-swap means that another CPU took, so a bucket that is
 * over its limit is only read. When THR_BUCKET_TRIES are lost in a row, the
 * bucket is in debt to at least that many takings of this very moment, and it
 * is safe to add first and judge after; what did not conform is given back.
 * Until then others may see too little, never too much: the limit holds.
 * Takings so large that a CPU might repair the sum of several away are refused
 * instead, for a tick.
 */
static inline __attribute__((always_inline)) __u64 thr_bucket_charge(__u64 *bucket, __u64 now,
								     __u64 window, __u64 spent)
{
	__u64 seen = *(volatile __u64 *)bucket;

	for (int i = 0; i < THR_BUCKET_TRIES; i++) {
		struct thr_taking taking = thr_bucket_judge(seen, now, window, spent);
		__u64 found;

		if (taking.state == seen)
			return taking.wait;
		found = __sync_val_compare_and_swap(bucket, seen, taking.state);
		if (found == seen)
			return taking.wait;
		seen = found;
	}
	if (spent > THR_ADD_FIRST_MAX)
		return 1;
	seen = __sync_fetch_and_add(bucket, spent) + spent;
	if (seen <= now + window)
		return 0;
	__sync_fetch_and_add(bucket, -spent);
	return seen - (now + window);
}

/* Give back `spent` ticks that thr_bucket_charge() took a moment ago, because
 * another bucket refused the same packet. A bucket that does not hold them was
 * evicted and made anew in between: it is full. One that others change so much
 * that THR_BUCKET_TRIES are lost in a row was not. */
static inline __attribute__((always_inline)) void thr_bucket_give(__u64 *bucket, __u64 spent)
{
	__u64 seen = *(volatile __u64 *)bucket;

	for (int i = 0; i < THR_BUCKET_TRIES; i++) {
		__u64 found;

		if (seen < spent)
			return;
		found = __sync_val_compare_and_swap(bucket, seen, seen - spent);
		if (found == seen)
			return;
		seen = found;
	}
	__sync_fetch_and_add(bucket, -spent);
}

#endif
