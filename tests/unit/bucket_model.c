/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The token bucket beside a model of it that counts tokens in exact rational
 * arithmetic, over random limits and takings. Seeds are fixed, and printed with
 * what fails.
 */
#include <stdbool.h>

#include "support/run.h"
#include "support/random.h"
#include "thr_bucket.h"

#define TICKS_PER_S (1000000000LL << THR_TICK_SHIFT)
#define NOW (1000 * TICKS_PER_S)

/* A limit as the bucket and the model need it. */
struct limit {
	__u64 rate, burst; /* tokens in per_s seconds, and at once */
	__u32 per_s;
	__u64 interval, window;
};

static struct limit limit_of(__u64 rate, __u32 per_s, __u64 burst)
{
	struct limit limit = {.rate = rate, .burst = burst, .per_s = per_s};

	limit.interval = thr_bucket_interval(rate, per_s);
	limit.window = thr_bucket_ticks(limit.interval, burst);
	assert_true(thr_bucket_fits(limit.interval, burst));
	return limit;
}

/* --- the model: tokens that a bucket holds --- */

/*
 * In units of which a token has per_s * TICKS_PER_S, and `rate` come back with
 * each tick: every quantity is whole.
 */
struct model {
	__int128 held;
	__int128 token, full;
	__u64 rate;
};

static struct model model_of(const struct limit *limit)
{
	struct model model = {.token = (__int128)limit->per_s * TICKS_PER_S, .rate = limit->rate};

	model.full = model.held = model.token * limit->burst;
	return model;
}

static void model_refill(struct model *model, __u64 ticks)
{
	model->held += (__int128)model->rate * ticks;
	if (model->held > model->full)
		model->held = model->full;
}

/* What the bucket holds, in ticks. */
static __u64 bucket_holds(__u64 state, __u64 now, __u64 window)
{
	return state > now ? now + window - state : window;
}

/* How far to let time go: often to the edge of what was refused last. */
static __u64 next_step(__u64 *random, const struct limit *limit, __u64 wait)
{
	switch (next_random(random) % 8) {
	case 0:
		return 0;
	case 1:
		return wait ? wait - 1 : 1;
	case 2:
	case 3:
		return wait;
	case 4:
		return next_random(random) % (limit->window * 2);
	default:
		return next_random(random) % (limit->window / limit->burst * 2 + 2);
	}
}

#define CHECK(condition, seed, step)                                                               \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			print_error("# seed %#llx, step %d, rate %llu/%us, burst %llu\n",          \
				    (unsigned long long)(seed), step, limit.rate, limit.per_s,     \
				    limit.burst);                                                  \
			assert_true(condition);                                                    \
		}                                                                                  \
	} while (0)

/* A rate of which a token takes a whole number of ticks. */
static struct limit random_exact_limit(__u64 *random)
{
	static const __u64 rates[] = {1,	2,	   5,	      10,    20,     50,
				      64,	100,	   1000,      8000,  10000,  1000000,
				      10000000, 100000000, 40000,     62500, 125000, 256000,
				      15625000, 125000000, 1000000000};
	static const __u32 periods[] = {1, 1, 60, 3600};
	__u64 burst = 1 + next_random(random) % 1000;

	return limit_of(rates[next_random(random) % ARRAY_SIZE(rates)],
			periods[next_random(random) % ARRAY_SIZE(periods)], burst);
}

static void agrees_with_the_model_where_tokens_are_whole_ticks(void **state)
{
	const __u64 seed = 0x5eed0001;
	__u64 random = seed;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct limit limit = random_exact_limit(&random);
		struct model model = model_of(&limit);
		__u64 bucket = 0, now = NOW, wait = 0;

		for (int step = 0; step < 500; step++) {
			__u64 cost = 1 + next_random(&random) % (1 + limit.burst / 4);
			__u64 ticks = next_step(&random, &limit, wait);
			bool conforms;

			now += ticks;
			model_refill(&model, ticks);
			conforms = model.held >= model.token * cost;
			wait = thr_bucket_charge(&bucket, now, limit.window,
						 thr_bucket_ticks(limit.interval, cost));
			CHECK(conforms == !wait, seed, round);
			if (conforms)
				model.held -= model.token * cost;
			else
				CHECK((model.token * cost - model.held + limit.rate - 1) /
						      limit.rate ==
					      wait,
				      seed, round);
			CHECK((__int128)bucket_holds(bucket, now, limit.window) * limit.rate ==
				      model.held,
			      seed, round);
		}
	}
}

/* Any rate from 1/h to 2^40/s whose burst comes back within 26 days: then the time
 * of a whole round fits a clock. */
static struct limit random_limit(__u64 *random)
{
	for (;;) {
		__u64 rate = 1 + (next_random(random) & ((2ULL << next_random(random) % 40) - 1));
		__u64 burst = 1 + (next_random(random) & ((2ULL << next_random(random) % 30) - 1));
		__u32 per_s = (const __u32[]){1, 60, 3600}[next_random(random) % 3];

		__u64 interval = thr_bucket_interval(rate, per_s);

		if (thr_bucket_fits(interval, burst) &&
		    thr_bucket_ticks(interval, burst) < 1ULL << 55)
			return limit_of(rate, per_s, burst);
	}
}

/*
 * Rounding: a taking is rounded down to a tick, and its interval to half a unit
 * of 2^-16 ticks. Errors add up while the bucket is not full and by no more.
 * Counted in 2^-17 ticks, the error of one taking is at most 2^17 + cost.
 */
static void stays_within_its_rounding_of_the_model(void **state)
{
	const __u64 seed = 0x5eed0002;
	__u64 random = seed;
	int near = 0;

	(void)state;
	for (int round = 0; round < 400; round++) {
		struct limit limit = random_limit(&random);
		const __int128 window_error = (1 << 17) + limit.burst;
		struct model model = model_of(&limit);
		__u64 bucket = 0, now = NOW, wait = 0;
		__int128 error = window_error;

		for (int step = 0; step < 500; step++) {
			__u64 cost = 1 + next_random(&random) % (1 + limit.burst / 4);
			__u64 ticks = next_step(&random, &limit, wait);
			__int128 left, apart;

			now += ticks;
			model_refill(&model, ticks);
			if (bucket <= now && model.held == model.full)
				error = window_error;
			left = (model.held - model.token * cost) * (1 << 17);
			error += (1 << 17) + cost;
			wait = thr_bucket_charge(&bucket, now, limit.window,
						 thr_bucket_ticks(limit.interval, cost));
			near += left < error * limit.rate && left > -error * limit.rate;
			CHECK(left < error * limit.rate || !wait, seed, round);
			CHECK(left > -error * limit.rate || wait, seed, round);
			if (!wait)
				model.held -= model.token * cost;
			else
				error -= (1 << 17) + cost;
			apart = ((__int128)bucket_holds(bucket, now, limit.window) * limit.rate -
				 model.held) *
				(1 << 17);
			CHECK(apart <= error * limit.rate && -apart <= error * limit.rate, seed,
			      round);
		}
	}
	/* Most verdicts are clear of the error, so that comparing them means something. */
	assert_in_range(near, 0, 400 * 500 / 4);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_model_where_tokens_are_whole_ticks),
		cmocka_unit_test(stays_within_its_rounding_of_the_model),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
