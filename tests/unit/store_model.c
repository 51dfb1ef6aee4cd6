/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The store on memory and over Redis beside one model, over random takings, looks and
 * changes of limits. Seeds are fixed, and printed with what fails; what time it is, is not.
 *
 * The model is a debt in ticks that time pays. On memory its clock is the loop's, and every
 * number must be the same. In Redis a taking is judged at some moment between the asking and
 * the answer, so the model knows between which two values the debt is, and verdicts and
 * numbers must lie between what follows from the two.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "support/random.h"
#include "support/run.h"
#include "support/store.h"
#include "thr_bucket.h"

#define KEYS 4
#define BATCH 6

/* Two clocks are compared, of which one counts whole microseconds and may be slewed. */
#define NS (1ULL << THR_TICK_SHIFT)
#define SLACK ((uint64_t)50000 << THR_TICK_SHIFT)

/* Limits of which a token takes a whole number of ticks. */
static struct thr_quota random_quota(__u64 *random)
{
	static const double rates[] = {1000, 500, 250, 100, 2000};
	uint64_t capacity = 1 + next_random(random) % 40;

	return quota_of(capacity, rates[next_random(random) % ARRAY_SIZE(rates)]);
}

/* Mostly small, now and then a look or all that there may be. */
static uint64_t random_cost(__u64 *random, const struct thr_quota *quota)
{
	switch (next_random(random) % 8) {
	case 0:
		return 0;
	case 1:
		return quota->capacity;
	case 2:
		return 1 + next_random(random) % quota->capacity;
	default:
		return 1;
	}
}

/* --- the model --- */

/* The time at which a bucket is full, ticks: between the two. */
struct model {
	uint64_t least, most;
};

/* When a taking was judged: between the two. */
struct moment {
	uint64_t from, to;
};

static uint64_t larger(uint64_t one, uint64_t other)
{
	return one > other ? one : other;
}

static uint64_t smaller(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

/* What a smaller limit makes of a debt that it cannot have led to. */
static struct model cut(struct model model, struct moment at, uint64_t window)
{
	struct model is = model;

	if (model.most > at.from + window + THR_CLOCK_SKEW)
		is.least = smaller(model.least, at.from + window);
	if (model.least > at.to + window + THR_CLOCK_SKEW)
		is.most = at.to + window;
	return is;
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("seed %#llx, step %d: %s", (unsigned long long)seed, step,        \
				 #condition);                                                      \
	} while (0)

/* Hold the answer to `ask` against the model, which goes on by it. `late`: how long after
 * it was asked for an answer may have been judged whose debt is told from the asking. */
static void compare(struct model *model, const struct thr_ask *ask, struct moment at, uint64_t late,
		    unsigned long long seed, int step)
{
	const uint64_t window = ask->limit.window, cost = ask->cost;
	uint64_t spent = thr_bucket_ticks(ask->limit.interval, cost ? cost : 1);
	struct model is = cut(*model, at, window);
	const struct thr_standing *standing = &ask->standing;
	/* As told: a ns is 16 ticks, and is rounded up. */
	uint64_t debt = standing->reset_ns << THR_TICK_SHIFT;
	uint64_t left =
		debt < window ? (window - debt) / thr_bucket_ticks(ask->limit.interval, 1) : 0;

	is.least = larger(is.least, at.from);
	is.most = larger(is.most, at.to);
	CHECK(!ask->degraded);
	CHECK(standing->limit == ask->limit.burst);
	if (is.most + spent <= at.from + window)
		CHECK(standing->allowed);
	if (is.least + spent > at.to + window)
		CHECK(!standing->allowed);
	if (standing->allowed && cost) {
		is.least += spent;
		is.most = smaller(is.most + spent, at.to + window);
	}
	CHECK(debt + late + at.to + NS >= is.least);
	CHECK(debt <= is.most - at.from + NS);
	CHECK(standing->remaining == left || standing->remaining == left + 1);
	CHECK(standing->allowed == !standing->retry_ns);
	if (!standing->allowed)
		CHECK((standing->retry_ns << THR_TICK_SHIFT) + NS >= debt + spent - window);
	if (cost)
		*model = is;
}

/* --- memory --- */

static void on_memory_every_number_is_the_models(void **state)
{
	const unsigned long long seed = 0x5eed0010;
	struct model models[KEYS] = {{0, 0}};
	struct thr_quota quota[KEYS];
	struct test_world world;
	struct test_store store;
	__u64 random = seed;
	uint64_t refused = 0;

	(void)state;
	world_begin(&world);
	store_begin(&world, &store, 1);
	for (int step = 0; step < 20000; step++) {
		unsigned int which = next_random(&random) % KEYS;
		char key[] = {'k', (char)('0' + which), '\0'};
		struct test_ask ask;
		uint64_t now;

		if (step < KEYS || next_random(&random) % 100 == 0)
			for (int i = 0; i < KEYS; i++)
				quota[i] = random_quota(&random);
		if (next_random(&random) % 4 == 0)
			assert_int_equal(thr_loop_turn(world.loop, 0), 0);
		if (next_random(&random) % 256 == 0)
			assert_int_equal(thr_loop_turn(world.loop, 5), 0);
		now = thr_loop_now_ns(world.loop) << THR_TICK_SHIFT;
		ask_for(&store, &ask, key, &quota[which], random_cost(&random, &quota[which]));
		assert_true(ask.at_once);
		compare(&models[which], &ask.ask, (struct moment){now, now}, 0, seed, step);
		refused += !ask.ask.standing.allowed;
	}
	/* Both verdicts were common enough to mean something. */
	assert_in_range(refused, 1000, 19000);
	store_end(&store);
	world_end(&world);
}

/* --- Redis --- */

struct round {
	struct test_ask asks[BATCH];
	struct moment at[BATCH];
	int count;
};

/* Those that were answered at once came before those that had to wait. */
static void compare_round(struct model *model, const struct round *round, uint64_t late,
			  unsigned long long seed, int step)
{
	for (int later = 0; later < 2; later++)
		for (int i = 0; i < round->count; i++)
			if (round->asks[i].at_once == !later)
				compare(model, &round->asks[i].ask, round->at[i], late, seed, step);
}

static void play_round(struct test_store *store, struct round *round, const char *key,
		       const struct thr_quota *quota, __u64 *random)
{
	uint64_t from = thr_clock_monotonic_ns() << THR_TICK_SHIFT;
	uint64_t now = thr_loop_now_ns(store->world->loop) << THR_TICK_SHIFT;

	round->count = 1 + (int)(next_random(random) % BATCH);
	for (int i = 0; i < round->count; i++)
		ask_for(store, &round->asks[i], key, quota, random_cost(random, quota));
	for (int i = 0; i < round->count; i++) {
		const struct test_ask *ask = &round->asks[i];

		wait_for_ask(store, ask);
		round->at[i] = (struct moment){
			.from = (ask->at_once ? now : from) - SLACK,
			.to = (ask->at_once ? now : ask->over_ns << THR_TICK_SHIFT) + SLACK,
		};
	}
}

static void over_redis_every_number_is_between_the_models(void **state)
{
	const unsigned long long seed = 0x5eed0011;
	struct model models[KEYS] = {{0, 0}};
	struct thr_quota quota[KEYS];
	struct redis_server server;
	struct test_world world;
	struct test_store store;
	__u64 random = seed;
	uint64_t late = 0;

	(void)state;
	server_begin(&server, NULL);
	world_begin(&world);
	store_begin(&world, &store, 1);
	store_use_redis(&store, &server, 0, 0);
	wait_for_redis(&store);
	for (int step = 0; step < 3000; step++) {
		unsigned int which = next_random(&random) % KEYS;
		char key[] = {'k', (char)('0' + which), '\0'};
		struct round round;

		if (step < KEYS || next_random(&random) % 50 == 0)
			for (int i = 0; i < KEYS; i++)
				quota[i] = random_quota(&random);
		assert_int_equal(thr_loop_turn(world.loop, (int)(next_random(&random) % 3)), 0);
		play_round(&store, &round, key, &quota[which], &random);
		for (int i = 0; i < round.count; i++)
			late = larger(late, round.at[i].to - round.at[i].from);
		compare_round(&models[which], &round, late, seed, step);
	}
	/* Both verdicts, and all ways to one. */
	assert_true(store.counts.allowed > 1000);
	assert_true(store.counts.denied > 1000);
	assert_true(store.counts.known > 100);
	assert_true(store.counts.calls < store.counts.allowed + store.counts.denied);
	store_end(&store);
	world_end(&world);
	server_end(&server);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_memory_every_number_is_the_models),
		cmocka_unit_test(over_redis_every_number_is_between_the_models),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
