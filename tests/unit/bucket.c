/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The token bucket at its edges: full, empty, the last tick of a window, the
 * ranges in which its arithmetic is exact, and takers that race.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "support/random.h"
#include "support/run.h"

/* Stands in for the compare-and-swap of thr_bucket.h, so that a test can let
 * other CPUs take between the reading of a bucket and the swap. */
static unsigned long long swap_after_rivals(unsigned long long *bucket, unsigned long long seen,
					    unsigned long long wanted);
#define __sync_val_compare_and_swap swap_after_rivals
#include "thr_bucket.h"
#undef __sync_val_compare_and_swap

#define TICKS_PER_S (1000000000LL << THR_TICK_SHIFT)
#define NOW (1000 * TICKS_PER_S)

static _Thread_local int rivals; /* takings to slip in, one before each swap */
static unsigned long long rival_spends;

static unsigned long long swap_after_rivals(unsigned long long *bucket, unsigned long long seen,
					    unsigned long long wanted)
{
	if (rivals > 0) {
		rivals--;
		__atomic_fetch_add(bucket, rival_spends, __ATOMIC_SEQ_CST);
	}
	__atomic_compare_exchange_n(bucket, &seen, wanted, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	return seen;
}

struct limit {
	__u64 interval, window;
};

static struct limit limit_of(__u64 rate, __u32 per_s, __u64 burst)
{
	struct limit limit = {.interval = thr_bucket_interval(rate, per_s)};

	limit.window = thr_bucket_ticks(limit.interval, burst);
	assert_true(thr_bucket_fits(limit.interval, burst));
	return limit;
}

/* --- edges --- */

static void zero_state_is_full(void **state)
{
	struct limit limit = limit_of(10, 1, 5);
	__u64 bucket = 0, spent = thr_bucket_ticks(limit.interval, 1);

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(thr_bucket_charge(&bucket, NOW, limit.window, spent), 0);
	assert_int_equal(thr_bucket_charge(&bucket, NOW, limit.window, spent), spent);
}

static void whole_burst_may_go_in_one_taking_but_no_tick_more(void **state)
{
	struct limit limit = limit_of(10, 1, 5);
	__u64 bucket = 0;

	(void)state;
	assert_int_equal(thr_bucket_charge(&bucket, NOW, limit.window, limit.window + 1), 1);
	assert_int_equal(thr_bucket_charge(&bucket, NOW, limit.window, limit.window), 0);
	assert_int_equal(thr_bucket_charge(&bucket, NOW, limit.window, 1), 1);
}

static void refusal_takes_nothing_and_its_wait_is_exact(void **state)
{
	struct limit limit = limit_of(3, 60, 4);
	__u64 spent = thr_bucket_ticks(limit.interval, 1), wait, before;
	__u64 bucket = NOW + limit.window - spent / 3;

	(void)state;
	before = bucket;
	wait = thr_bucket_charge(&bucket, NOW, limit.window, spent);
	assert_int_equal(wait, spent - spent / 3);
	assert_int_equal(bucket, before);
	assert_int_equal(thr_bucket_charge(&bucket, NOW + wait - 1, limit.window, spent), 1);
	assert_int_equal(thr_bucket_charge(&bucket, NOW + wait, limit.window, spent), 0);
}

static void refill_stops_at_burst(void **state)
{
	struct limit limit = limit_of(1000, 1, 3);
	__u64 bucket = 0, spent = thr_bucket_ticks(limit.interval, 1), late = NOW * 1000;
	int taken = 0;

	(void)state;
	assert_int_equal(thr_bucket_charge(&bucket, NOW, limit.window, spent), 0);
	while (!thr_bucket_charge(&bucket, late, limit.window, spent))
		taken++;
	assert_int_equal(taken, 3);
}

static void raised_limit_holds_for_a_bucket_in_debt(void **state)
{
	struct limit old = limit_of(1, 60, 10), raised = limit_of(20, 1, 40);
	__u64 bucket = NOW + old.window, spent = thr_bucket_ticks(raised.interval, 1);

	(void)state;
	assert_true(thr_bucket_charge(&bucket, NOW, raised.window, spent) <= spent);
	assert_int_equal(thr_bucket_charge(&bucket, NOW + spent, raised.window, spent), 0);
	assert_true(bucket <= NOW + spent + raised.window);
}

/* Two CPUs read the clock one after the other and take in the other order. */
static void clock_read_before_a_rival_yields_no_token(void **state)
{
	const __u64 late = TICKS_PER_S / 100000; /* 10 us */
	struct limit limit = limit_of(1000000, 1, 5);
	__u64 bucket = 0, spent = thr_bucket_ticks(limit.interval, 1);

	(void)state;
	while (!thr_bucket_charge(&bucket, NOW, limit.window, spent))
		;
	assert_true(thr_bucket_charge(&bucket, NOW - late, limit.window, spent) > 0);
	assert_int_equal(thr_bucket_charge(&bucket, NOW, limit.window, spent), spent);
}

static void giving_back_makes_room_for_as_much(void **state)
{
	struct limit limit = limit_of(10, 1, 2);
	__u64 bucket = 0, spent = thr_bucket_ticks(limit.interval, 1);

	(void)state;
	assert_int_equal(thr_bucket_charge(&bucket, NOW, limit.window, spent), 0);
	assert_int_equal(thr_bucket_charge(&bucket, NOW, limit.window, spent), 0);
	thr_bucket_give(&bucket, spent);
	assert_int_equal(thr_bucket_charge(&bucket, NOW, limit.window, spent), 0);
	assert_int_equal(thr_bucket_charge(&bucket, NOW, limit.window, spent), spent);
}

/* --- rounding and ranges --- */

static void interval_is_rounded_to_nearest(void **state)
{
	__u64 random = 0x5eed0003;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		__u64 rate = 1 + next_random(&random) % (2ULL << next_random(&random) % 40);
		__u32 per_s = i % 2 ? 60 : 1;
		__int128 period = ((__int128)per_s * 1000000000) << THR_INTERVAL_SHIFT;
		__int128 off = (__int128)thr_bucket_interval(rate, per_s) * rate - period;

		assert_true(off * 2 <= rate && -off * 2 <= rate);
	}
}

static void interval_errs_by_less_than_a_thousandth_up_to_1e12_per_s(void **state)
{
	(void)state;
	for (__u64 rate = 1; rate <= 1000000000000; rate = rate * 3 / 2 + 1) {
		__int128 period = (__int128)1000000000 << THR_INTERVAL_SHIFT;
		__int128 off = (__int128)thr_bucket_interval(rate, 1) * rate - period;

		assert_true(off * 1000 < period && -off * 1000 < period);
	}
	assert_int_equal(thr_bucket_interval(1, 60), 60000000000 << THR_INTERVAL_SHIFT);
	assert_int_equal(thr_bucket_interval(1000000000000, 1), 1049); /* 1048.576 */
	assert_int_equal(thr_bucket_interval(0, 1), 0);
}

static void ticks_are_exact_wherever_a_limit_fits(void **state)
{
	__u64 random = 0x5eed0004;
	int fitting = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		__u64 interval = next_random(&random) >> next_random(&random) % 64;
		__u64 burst = 1 + (next_random(&random) >> (23 + next_random(&random) % 41));
		__int128 exact = ((__int128)interval * burst) >> THR_INTERVAL_TO_TICK;

		if (!thr_bucket_fits(interval, burst))
			continue;
		fitting++;
		assert_true(exact == thr_bucket_ticks(interval, burst));
		assert_true(exact > 0 && exact < (__int128)THR_WINDOW_MAX);
	}
	assert_true(fitting > 50000);
}

static void what_does_not_fit_is_refused(void **state)
{
	const __u64 tick = 1ULL << THR_INTERVAL_TO_TICK;

	(void)state;
	assert_false(thr_bucket_fits(0, 1));
	assert_false(thr_bucket_fits(1, 0));
	assert_false(thr_bucket_fits(1, 1)); /* less than a tick */
	assert_true(thr_bucket_fits(tick, 1));
	assert_true(thr_bucket_fits(1, 1ULL << 40));
	assert_false(thr_bucket_fits(1, (1ULL << 40) + 1));
	assert_false(thr_bucket_fits(tick << 19, 1ULL << 40)); /* THR_WINDOW_MAX */
	assert_true(thr_bucket_fits(tick << 18, 1ULL << 40));
	assert_false(thr_bucket_fits(~0ULL, 1ULL << 40));
	/* The slowest rate that can be written, and the most that it may save up. */
	assert_true(thr_bucket_fits(thr_bucket_interval(1, 3600), 9000));
	assert_false(thr_bucket_fits(thr_bucket_interval(1, 3600), 11000));
}

static void no_sum_overflows_in_34_years_of_uptime(void **state)
{
	const __u64 late = 34ULL * 365 * 86400 * TICKS_PER_S, window = THR_WINDOW_MAX - 1;
	__u64 bucket = 0;

	(void)state;
	assert_int_equal(thr_bucket_charge(&bucket, late, window, window), 0);
	assert_int_equal(bucket, late + window);
	assert_int_equal(thr_bucket_charge(&bucket, late, window, window), window);
	assert_int_equal(thr_bucket_charge(&bucket, late + window, window, window), 0);
}

/* --- takers that race --- */

static void taking_holds_the_limit_when_every_swap_is_lost(void **state)
{
	const __u64 spent = 10, window = (THR_BUCKET_TRIES + 1) * spent;
	__u64 bucket = NOW;

	(void)state;
	/* The rivals leave one token. */
	rival_spends = spent;
	rivals = THR_BUCKET_TRIES;
	assert_int_equal(thr_bucket_charge(&bucket, NOW, window, spent), 0);
	assert_int_equal(rivals, 0);
	assert_int_equal(bucket, NOW + (THR_BUCKET_TRIES + 1) * spent);
}

static void taking_is_undone_when_rivals_took_the_last_token(void **state)
{
	const __u64 spent = 10, window = THR_BUCKET_TRIES * spent;
	__u64 bucket = NOW;

	(void)state;
	/* The last rival empties the bucket after the taker's last look at it. */
	rival_spends = spent;
	rivals = THR_BUCKET_TRIES;
	assert_int_equal(thr_bucket_charge(&bucket, NOW, window, spent), spent);
	assert_int_equal(rivals, 0);
	assert_int_equal(bucket, NOW + window);
}

/* For a tick: no wait that anybody would remember. */
static void large_taking_is_refused_for_a_tick_when_every_swap_is_lost(void **state)
{
	const __u64 spent = THR_ADD_FIRST_MAX + 1, window = 100 * spent;
	__u64 bucket = NOW;

	(void)state;
	rival_spends = spent;
	rivals = THR_BUCKET_TRIES;
	assert_int_equal(thr_bucket_charge(&bucket, NOW, window, spent), 1);
	assert_int_equal(bucket, NOW + THR_BUCKET_TRIES * spent);
}

#define TAKERS 4
#define TAKINGS 50000

struct race {
	__u64 bucket;
	_Atomic __u64 clock;
	_Atomic __u64 taken;
	__u64 step; /* ticks by which each taker moves the clock before it takes */
	__u64 window, spent;
	pthread_barrier_t start;
};

static void *race_take(void *argument)
{
	struct race *race = argument;
	__u64 taken = 0;

	pthread_barrier_wait(&race->start);
	for (int i = 0; i < TAKINGS; i++) {
		__u64 now = atomic_fetch_add(&race->clock, race->step) + race->step;

		taken += !thr_bucket_charge(&race->bucket, now, race->window, race->spent);
	}
	atomic_fetch_add(&race->taken, taken);
	return NULL;
}

static void *race_take_and_give(void *argument)
{
	struct race *race = argument;

	pthread_barrier_wait(&race->start);
	for (int i = 0; i < TAKINGS; i++)
		if (!thr_bucket_charge(&race->bucket, NOW, race->window, race->spent))
			thr_bucket_give(&race->bucket, race->spent);
	return NULL;
}

static void race_run(struct race *race, void *(*taker)(void *))
{
	pthread_t threads[TAKERS];

	race->clock = NOW;
	pthread_barrier_init(&race->start, NULL, TAKERS);
	for (int i = 0; i < TAKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, taker, race), 0);
	for (int i = 0; i < TAKERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	pthread_barrier_destroy(&race->start);
}

static void racing_takers_get_the_burst_and_no_more(void **state)
{
	struct race race = {.bucket = NOW, .spent = 100, .window = 100 * 30000};

	(void)state;
	race_run(&race, race_take);
	assert_int_equal(race.taken, 30000);
}

/* A quarter of the takings may conform, so a bucket that starts empty never fills
 * up and no token is lost: how many are taken is known to the token. */
static void racing_takers_get_the_rate_as_time_goes_by(void **state)
{
	struct race race = {
		.bucket = NOW + 50 * 1000, .spent = 1000, .window = 50 * 1000, .step = 250};
	__u64 end;

	(void)state;
	race_run(&race, race_take);
	end = race.clock;
	while (!thr_bucket_charge(&race.bucket, end, race.window, race.spent))
		race.taken++;
	assert_int_equal(race.taken, (end - NOW) / race.spent);
}

static void racing_takers_who_give_back_leave_no_trace(void **state)
{
	struct race race = {.bucket = NOW, .spent = 100, .window = 250};

	(void)state;
	race_run(&race, race_take_and_give);
	assert_int_equal(race.bucket, NOW);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_state_is_full),
		cmocka_unit_test(whole_burst_may_go_in_one_taking_but_no_tick_more),
		cmocka_unit_test(refusal_takes_nothing_and_its_wait_is_exact),
		cmocka_unit_test(refill_stops_at_burst),
		cmocka_unit_test(raised_limit_holds_for_a_bucket_in_debt),
		cmocka_unit_test(clock_read_before_a_rival_yields_no_token),
		cmocka_unit_test(giving_back_makes_room_for_as_much),
		cmocka_unit_test(interval_is_rounded_to_nearest),
		cmocka_unit_test(interval_errs_by_less_than_a_thousandth_up_to_1e12_per_s),
		cmocka_unit_test(ticks_are_exact_wherever_a_limit_fits),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(no_sum_overflows_in_34_years_of_uptime),
		cmocka_unit_test(taking_holds_the_limit_when_every_swap_is_lost),
		cmocka_unit_test(taking_is_undone_when_rivals_took_the_last_token),
		cmocka_unit_test(large_taking_is_refused_for_a_tick_when_every_swap_is_lost),
		cmocka_unit_test(racing_takers_get_the_burst_and_no_more),
		cmocka_unit_test(racing_takers_get_the_rate_as_time_goes_by),
		cmocka_unit_test(racing_takers_who_give_back_leave_no_trace),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
