/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Workers of two instances that lease tokens of the same keys from one Redis, over random takings,
 * looks, clients that leave, other settings, raised limits and flushed scripts. Whatever happens
 * while Redis answers, at no moment more has been granted than one bucket would have granted, and
 * in the end nothing is lost: what was not granted is left.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "support/random.h"
#include "support/run.h"
#include "support/store.h"

#define WORKERS 3
#define KEYS 4
#define ASKS 24
#define STEPS 25000

static const char *const name[KEYS] = {"scarce", "some", "many", "quick"};
static const double refill[KEYS] = {0.001, 0.001, 0.001, 2000};
static const uint64_t first_capacity[KEYS] = {100, 1000, 5000, 400};

/* What is known of a key from outside. */
struct account {
	struct thr_quota quota;
	uint64_t granted, denied;
	uint64_t unknown; /* asked for by those who left */
};

struct asking {
	struct test_ask ask;
	struct account *account;
	struct test_store *worker;
	bool is_open;
};

struct play {
	struct redis_server server;
	struct test_world world;
	struct test_store workers[WORKERS];
	struct account accounts[KEYS];
	struct asking asks[ASKS];
	uint64_t began_ns;
	__u64 random;
	unsigned long long seed;
	int step;
};

static uint64_t any(struct play *play, uint64_t below)
{
	return next_random(&play->random) % below;
}

/* Mostly one token, now and then a look, some, or as many as a lease does not hold. */
static uint64_t any_cost(struct play *play, const struct thr_quota *quota)
{
	switch (any(play, 10)) {
	case 0:
		return 0;
	case 1:
	case 2:
		return 1 + any(play, 6);
	case 3:
		return 1 + any(play, quota->capacity / 10);
	default:
		return 1;
	}
}

/* --- what must hold --- */

/* By the clock, a token more than the bucket held and got is one that does not exist. */
static void expect_no_more_than_there_was(const struct play *play, const struct account *account)
{
	double s = (double)(thr_clock_monotonic_ns() - play->began_ns) / 1e9;
	double most = (double)account->quota.capacity + account->quota.refill_per_s * (s + 1e-3);

	if ((double)account->granted > most)
		fail_msg("seed %#llx, step %d: %llu granted, at most %f are", play->seed,
			 play->step, (unsigned long long)account->granted, most);
}

static void settle(struct play *play, struct asking *asking)
{
	const struct thr_ask *ask = &asking->ask.ask;

	asking->is_open = false;
	assert_false(ask->degraded);
	if (ask->standing.allowed)
		asking->account->granted += ask->cost;
	else
		asking->account->denied += ask->cost > 0;
	expect_no_more_than_there_was(play, asking->account);
}

static void settle_all(struct play *play)
{
	for (int i = 0; i < ASKS; i++) {
		if (!play->asks[i].is_open)
			continue;
		wait_for_ask(play->asks[i].worker, &play->asks[i].ask);
		settle(play, &play->asks[i]);
	}
}

/* --- what happens --- */

static void ask_or_settle(struct play *play)
{
	struct asking *asking = &play->asks[any(play, ASKS)];
	size_t key = any(play, KEYS);

	if (asking->is_open && asking->ask.is_over) {
		settle(play, asking);
	} else if (asking->is_open && any(play, 20) == 0) {
		thr_store_cancel(asking->worker->store, &asking->ask.ask);
		asking->account->unknown += asking->ask.ask.cost;
		asking->is_open = false;
	} else if (!asking->is_open) {
		asking->is_open = true;
		asking->worker = &play->workers[any(play, WORKERS)];
		asking->account = &play->accounts[key];
		ask_for(asking->worker, &asking->ask, name[key], &asking->account->quota,
			any_cost(play, &asking->account->quota));
	}
}

/* Another lease, or none; what is asked for meanwhile is answered by the settings before. */
static void use_other_settings(struct play *play)
{
	static const uint64_t leases[] = {0, 1, 7, 50, 1000};

	store_use_redis(&play->workers[any(play, WORKERS)], &play->server, 5000 + any(play, 1000),
			leases[any(play, ARRAY_SIZE(leases))]);
}

/* Every worker goes by it from now on, and holds leases by the limit before. */
static void raise_a_limit(struct play *play)
{
	size_t key = any(play, KEYS);
	struct account *account = &play->accounts[key];

	settle_all(play);
	account->quota = quota_of(account->quota.capacity + 1 + any(play, 20), refill[key]);
}

static void do_something(struct play *play)
{
	switch (any(play, 600)) {
	case 0:
		server_do(&play->server, "SCRIPT FLUSH");
		break;
	case 1:
	case 2:
		use_other_settings(play);
		break;
	case 3:
	case 4:
		raise_a_limit(play);
		break;
	default:
		ask_or_settle(play);
	}
	if (any(play, 3) == 0)
		assert_int_equal(thr_loop_turn(play->world.loop, 0), 0);
}

/* --- the whole --- */

static void begin(struct play *play, unsigned long long seed)
{
	*play = (struct play){.random = seed, .seed = seed};
	server_begin(&play->server, NULL);
	world_begin(&play->world);
	for (uint64_t i = 0; i < WORKERS; i++) {
		store_begin(&play->world, &play->workers[i], 1 + i / 2);
		store_use_redis(&play->workers[i], &play->server, 0, 50);
		wait_for_redis(&play->workers[i]);
	}
	for (size_t i = 0; i < KEYS; i++)
		play->accounts[i].quota = quota_of(first_capacity[i], refill[i]);
	play->began_ns = thr_clock_monotonic_ns();
}

static void end(struct play *play)
{
	for (int i = 0; i < WORKERS; i++)
		store_end(&play->workers[i]);
	world_end(&play->world);
	server_end(&play->server);
}

/* Once all leases are back; but for what came back to the bucket while it was leased, which is
 * less than a token. */
static bool the_rest_is_left(void *context)
{
	struct play *play = context;

	for (size_t i = 0; i < KEYS; i++) {
		const struct account *account = &play->accounts[i];
		uint64_t left = take(&play->workers[0], name[i], &account->quota, 0).remaining;

		if (refill[i] > 1)
			continue;
		assert_true(left + account->granted <= account->quota.capacity);
		if (left + account->granted + account->unknown + 1 < account->quota.capacity)
			return false;
	}
	return true;
}

static void workers_that_lease_grant_what_one_bucket_would(void **state)
{
	struct play play;

	(void)state;
	for (unsigned long long seed = 0x5eed0030; seed < 0x5eed0034; seed++) {
		uint64_t known = 0;

		begin(&play, seed);
		for (play.step = 0; play.step < STEPS; play.step++)
			do_something(&play);
		settle_all(&play);
		for (int i = 0; i < WORKERS; i++) {
			known += play.workers[i].counts.known;
			thr_store_drain(play.workers[i].store);
		}
		turn_until(&play.world, the_rest_is_left, &play);
		/* Both verdicts, and many of them without a call. */
		for (size_t i = 0; i < KEYS; i++)
			assert_true(play.accounts[i].granted > 50 && play.accounts[i].denied > 50);
		assert_true(known > 500);
		end(&play);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_that_lease_grant_what_one_bucket_would),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
