/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Takings from buckets in a real Redis: merging, what is known without a call, deadlines. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "support/random.h"
#include "support/run.h"
#include "support/store.h"
#include "thr_bucket.h"

struct fixture {
	struct redis_server server;
	struct test_world world;
	struct test_store store;
};

static void begin(struct fixture *fixture, uint64_t deadline_ms, uint64_t lease)
{
	server_begin(&fixture->server, NULL);
	world_begin(&fixture->world);
	store_begin(&fixture->world, &fixture->store, 1);
	store_use_redis(&fixture->store, &fixture->server, deadline_ms, lease);
}

static void end(struct fixture *fixture)
{
	store_end(&fixture->store);
	world_end(&fixture->world);
	server_end(&fixture->server);
}

static void a_taking_says_where_the_client_stands(void **state)
{
	const struct thr_quota quota = quota_of(100, 1);
	struct fixture fixture;
	struct test_ask ask;
	struct thr_standing is;

	(void)state;
	begin(&fixture, 0, 0);
	assert_true(thr_store_is_shared(fixture.store.store));
	ask_for(&fixture.store, &ask, "k", &quota, 30);
	assert_false(ask.at_once);
	wait_for_ask(&fixture.store, &ask);
	is = ask.ask.standing;
	assert_true(is.allowed);
	assert_false(ask.ask.degraded);
	assert_int_equal(is.limit, 100);
	assert_int_equal(is.window_ns, 100 * NS_PER_S);
	assert_int_equal(is.remaining, 70);
	assert_int_equal(is.reset_ns, 30 * NS_PER_S);
	assert_int_equal(is.retry_ns, 0);

	is = take(&fixture.store, "k", &quota, 71);
	assert_false(is.allowed);
	assert_int_equal(is.remaining, 70);
	assert_in_range(is.retry_ns, 1, NS_PER_S);
	is = take(&fixture.store, "k", &quota, 70);
	assert_true(is.allowed);
	assert_int_equal(fixture.store.counts.allowed, 2);
	assert_int_equal(fixture.store.counts.denied, 1);
	end(&fixture);
}

static void takings_of_one_turn_are_one_call(void **state)
{
	const struct thr_quota quota = quota_of(1000, 0.001);
	static struct test_ask asks[200];
	struct fixture fixture;
	uint64_t left = 1000;

	(void)state;
	begin(&fixture, 0, 0);
	for (int i = 0; i < 200; i++)
		ask_for(&fixture.store, &asks[i], "k", &quota, i < 100 ? 1 : 3);
	for (int i = 0; i < 200; i++) {
		wait_for_ask(&fixture.store, &asks[i]);
		left -= asks[i].ask.cost;
		assert_true(asks[i].ask.standing.allowed);
		assert_int_equal(asks[i].ask.standing.remaining, left);
	}
	assert_int_equal(fixture.store.counts.calls, 1);
	end(&fixture);
}

static void of_a_run_as_many_conform_as_the_bucket_holds(void **state)
{
	const struct thr_quota quota = quota_of(10, 0.001);
	static struct test_ask asks[20];
	struct fixture fixture;
	const struct thr_quota other = quota_of(11, 0.001);

	(void)state;
	begin(&fixture, 0, 0);
	for (int i = 0; i < 20; i++)
		ask_for(&fixture.store, &asks[i], "k", &quota, i < 5 ? 3 : 1);
	for (int i = 0; i < 20; i++) {
		wait_for_ask(&fixture.store, &asks[i]);
		/* 3 + 3 + 3, then 1: the tenth token goes to a smaller one behind. */
		assert_int_equal(asks[i].ask.standing.allowed, i < 3 || i == 5);
	}
	assert_int_equal(fixture.store.counts.calls, 1);
	/* A limit of another window goes in a call of its own. */
	ask_for(&fixture.store, &asks[0], "l", &quota, 1);
	ask_for(&fixture.store, &asks[1], "l", &other, 1);
	wait_for_ask(&fixture.store, &asks[1]);
	assert_true(asks[0].is_over);
	assert_int_equal(fixture.store.counts.calls, 3);
	end(&fixture);
}

static void more_runs_than_a_call_holds_go_in_the_next(void **state)
{
	const struct thr_quota quota = quota_of(1000, 0.001);
	static struct test_ask asks[100];
	struct fixture fixture;
	uint64_t left = 1000;

	(void)state;
	begin(&fixture, 0, 0);
	for (int i = 0; i < 100; i++)
		ask_for(&fixture.store, &asks[i], "k", &quota, i % 2);
	for (int i = 0; i < 100; i++) {
		wait_for_ask(&fixture.store, &asks[i]);
		left -= asks[i].ask.cost;
		assert_int_equal(asks[i].ask.standing.remaining, left);
	}
	assert_int_equal(fixture.store.counts.calls, 4);
	assert_int_equal(fixture.store.counts.allowed, 50);
	end(&fixture);
}

/* Any capacity and refill whose window is a minute at least, so that the bucket is not full
 * again before the test looks. */
static struct thr_quota random_quota(__u64 *random)
{
	for (;;) {
		uint64_t capacity = 1 + (next_random(random) >> (24 + next_random(random) % 40));
		double refill = 1e-5 * (double)(1 + (next_random(random) >>
						     (20 + next_random(random) % 40)));
		struct thr_quota quota;
		const char *why;

		if (thr_quota_make(capacity, refill, THR_ON_ERROR_LOCAL, &quota, &why) == 0 &&
		    quota.limit.window > 60 * NS_PER_S << THR_TICK_SHIFT)
			return quota;
	}
}

/* Time in Redis has whole microseconds: the rest of a time at which a bucket is full is
 * that of its debt. */
#define TICKS_PER_US (1000ULL << THR_TICK_SHIFT)

static void what_redis_keeps_is_right_to_the_tick(void **state)
{
	enum { ASKS = 40 };
	struct test_ask asks[ASKS];
	__u64 random = 0x5eed0004;
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0, 0);
	for (int round = 0; round < 200; round++) {
		struct thr_quota quota = random_quota(&random);
		uint64_t debt = 0, share = 1 + quota.capacity / 25;
		char key[32], name[40];

		snprintf(key, sizeof(key), "%d", round);
		snprintf(name, sizeof(name), "t:check:%d", round);
		for (int i = 0; i < ASKS; i++)
			ask_for(&fixture.store, &asks[i], key, &quota,
				i % 8 && share < quota.capacity ? share : 1);
		for (int i = 0; i < ASKS; i++) {
			struct thr_taking taking = thr_bucket_judge(
				debt, 0, quota.limit.window,
				thr_bucket_ticks(quota.limit.interval, asks[i].ask.cost));

			wait_for_ask(&fixture.store, &asks[i]);
			assert_int_equal(asks[i].ask.standing.allowed, !taking.wait);
			debt = taking.state;
		}
		assert_int_equal(redis_full_ticks(&fixture.server, name) % TICKS_PER_US,
				 debt % TICKS_PER_US);
	}
	end(&fixture);
}

static void a_look_changes_nothing(void **state)
{
	const struct thr_quota quota = quota_of(2, 0.001);
	struct fixture fixture;
	struct thr_standing is;

	(void)state;
	begin(&fixture, 0, 0);
	for (int i = 0; i < 3; i++) {
		is = take(&fixture.store, "k", &quota, 0);
		assert_true(is.allowed);
		assert_int_equal(is.remaining, 2);
	}
	assert_int_equal(redis_number(&fixture.server, "EXISTS t:check:k"), 0);
	take(&fixture.store, "k", &quota, 2);
	is = take(&fixture.store, "k", &quota, 0);
	assert_false(is.allowed);
	assert_int_equal(is.remaining, 0);
	assert_in_range(is.retry_ns, 990 * NS_PER_S, 1000 * NS_PER_S);
	assert_int_equal(fixture.store.counts.allowed + fixture.store.counts.denied, 1);
	end(&fixture);
}

static void what_is_known_to_be_over_is_denied_without_a_call(void **state)
{
	const struct thr_quota quota = quota_of(5, 0.001), more = quota_of(50, 0.001);
	struct fixture fixture;
	struct test_ask ask;

	(void)state;
	begin(&fixture, 0, 0);
	assert_true(take(&fixture.store, "k", &quota, 5).allowed);
	ask_for(&fixture.store, &ask, "k", &quota, 1);
	assert_true(ask.at_once);
	assert_false(ask.ask.standing.allowed);
	assert_false(ask.ask.degraded);
	assert_in_range(ask.ask.standing.retry_ns, 999 * NS_PER_S, 1000 * NS_PER_S);
	assert_int_equal(fixture.store.counts.calls, 1);
	assert_int_equal(fixture.store.counts.known, 1);
	/* A larger limit is not held up by what was known of the smaller one. */
	ask_for(&fixture.store, &ask, "k", &more, 45);
	assert_false(ask.at_once);
	wait_for_ask(&fixture.store, &ask);
	assert_true(ask.ask.standing.allowed);
	/* Nor is a smaller one kept waiting longer than it takes to fill. */
	assert_false(take(&fixture.store, "k", &quota, 1).allowed);
	assert_in_range(take(&fixture.store, "k", &quota, 1).retry_ns, 0, 1001 * NS_PER_S);
	end(&fixture);
}

static void a_bucket_expires_when_it_is_full(void **state)
{
	const struct thr_quota quota = quota_of(10, 2);
	const struct thr_quota slow = quota_of(1000, 0.0001);
	struct fixture fixture;
	long long left_ms;

	(void)state;
	begin(&fixture, 0, 0);
	take(&fixture.store, "k", &quota, 7);
	left_ms = redis_number(&fixture.server, "PTTL t:check:k");
	assert_in_range(left_ms, 2500, 3502);
	/* 116 days, and exact: more ticks than a double tells apart. */
	take(&fixture.store, "s", &slow, 1000);
	assert_int_equal(take(&fixture.store, "s", &slow, 0).remaining, 0);
	left_ms = redis_number(&fixture.server, "PTTL t:check:s");
	assert_in_range(left_ms, 9999999000, 10000000002);
	end(&fixture);
}

static void scripts_that_were_flushed_are_found_again(void **state)
{
	const struct thr_quota quota = quota_of(10, 0.001);
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0, 0);
	assert_int_equal(take(&fixture.store, "k", &quota, 1).remaining, 9);
	server_do(&fixture.server, "SCRIPT FLUSH");
	assert_int_equal(take(&fixture.store, "k", &quota, 1).remaining, 8);
	assert_int_equal(take(&fixture.store, "k", &quota, 1).remaining, 7);
	assert_int_equal(fixture.store.counts.degraded_allowed, 0);
	end(&fixture);
}

static void a_value_of_somebody_else_is_a_full_bucket(void **state)
{
	static const char *const commands[] = {"SET t:check:k hello", "RPUSH t:check:k hello",
					       "HSET t:check:k hello 1"};
	const struct thr_quota quota = quota_of(10, 0.001);
	struct fixture fixture;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		begin(&fixture, 0, 0);
		server_do(&fixture.server, commands[i]);
		assert_int_equal(take(&fixture.store, "k", &quota, 1).remaining, 9);
		server_expect(&fixture.server, "TYPE t:check:k", "string");
		end(&fixture);
	}
}

/* A clock of Redis that was set back by 36 years leaves a debt that is not in 64 bits of ticks:
 * what is left of it there would be a second. */
static void a_debt_that_no_limit_leads_to_is_an_empty_bucket(void **state)
{
	const struct thr_quota quota = quota_of(10, 0.001);
	struct fixture fixture;
	char command[64];
	long long now_s;

	(void)state;
	begin(&fixture, 0, 0);
	now_s = redis_number(&fixture.server, "EVAL return(redis.call('TIME')[1]+0) 0");
	snprintf(command, sizeof(command), "SET t:check:k %lld:0",
		 now_s + (long long)((1ULL << 60) / NS_PER_S) + 2);
	server_do(&fixture.server, command);
	assert_false(take(&fixture.store, "k", &quota, 0).allowed);
	assert_false(take(&fixture.store, "k", &quota, 1).allowed);
	assert_int_equal(take(&fixture.store, "k", &quota, 0).remaining, 0);
	end(&fixture);
}

static void who_leaves_is_not_called(void **state)
{
	const struct thr_quota quota = quota_of(3, 0.001);
	struct test_ask asks[4];
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0, 0);
	for (int i = 0; i < 4; i++)
		ask_for(&fixture.store, &asks[i], "k", &quota, 1);
	thr_store_cancel(fixture.store.store, &asks[1].ask);
	assert_int_equal(thr_loop_turn(fixture.world.loop, 0), 0);
	/* The call was sent with three: one leaves, and the token that it took in Redis goes
	 * to the next. */
	thr_store_cancel(fixture.store.store, &asks[2].ask);
	wait_for_ask(&fixture.store, &asks[3]);
	assert_true(asks[0].ask.standing.allowed);
	assert_true(asks[3].ask.standing.allowed);
	assert_false(asks[1].is_over || asks[2].is_over);
	assert_int_equal(take(&fixture.store, "k", &quota, 0).remaining, 0);
	end(&fixture);
}

static void more_keys_than_are_remembered_are_served(void **state)
{
	enum { KEYS = 70000, TURN = 500 };
	static struct test_ask asks[TURN];
	const struct thr_quota quota = quota_of(2, 0.001);
	struct fixture fixture;
	char key[16];

	(void)state;
	begin(&fixture, 0, 0);
	for (int i = 0; i < KEYS; i += TURN) {
		for (int n = 0; n < TURN; n++) {
			snprintf(key, sizeof(key), "%d", i + n);
			ask_for(&fixture.store, &asks[n], key, &quota, 2);
		}
		for (int n = 0; n < TURN; n++) {
			wait_for_ask(&fixture.store, &asks[n]);
			assert_true(asks[n].ask.standing.allowed);
		}
	}
	/* One that was forgotten is asked for, one that is known is not. */
	ask_for(&fixture.store, &asks[0], "0", &quota, 1);
	assert_false(asks[0].at_once);
	wait_for_ask(&fixture.store, &asks[0]);
	assert_false(asks[0].ask.standing.allowed);
	ask_for(&fixture.store, &asks[0], "0", &quota, 1);
	assert_true(asks[0].at_once);
	assert_int_equal(fixture.store.counts.degraded_allowed, 0);
	end(&fixture);
}

/* --- without Redis --- */

#define DEADLINE_MS 50
#define SLACK_MS 100 /* of a busy machine */

static void nobody_waits_longer_than_the_deadline(void **state)
{
	const struct thr_quota quota = quota_of(1000, 0.001);
	static struct test_ask asks[30];
	struct fixture fixture;
	int asked = 0;

	(void)state;
	begin(&fixture, DEADLINE_MS, 0);
	take(&fixture.store, "k", &quota, 1);
	kill(fixture.server.pid, SIGSTOP);
	/* One after the other while the first call is away: each has its own deadline. */
	for (int i = 0; i < 30; i++) {
		ask_for(&fixture.store, &asks[asked], "k", &quota, 1);
		assert_int_equal(thr_loop_turn(fixture.world.loop, 10), 0);
		asked++;
	}
	for (int i = 0; i < asked; i++) {
		wait_for_ask(&fixture.store, &asks[i]);
		assert_true(asks[i].ask.degraded);
		assert_true(asks[i].ask.standing.allowed);
		if (!asks[i].at_once)
			assert_in_range(asks[i].over_ns - asks[i].ask.asked_ns, 0,
					(DEADLINE_MS + SLACK_MS) * NS_PER_MS);
	}
	assert_int_equal(fixture.store.counts.degraded_allowed, 30);
	kill(fixture.server.pid, SIGCONT);
	end(&fixture);
}

static bool is_degraded(void *context)
{
	return thr_store_is_degraded(((struct test_store *)context)->store);
}

static bool is_well(void *context)
{
	return !is_degraded(context);
}

/* Until calls have failed, and nobody waits any more. */
static void lose_redis(struct fixture *fixture)
{
	server_end(&fixture->server);
	turn_until(&fixture->world, is_degraded, &fixture->store);
}

static void a_machine_without_redis_gives_its_share_of_a_limit(void **state)
{
	struct thr_quota quota = quota_of(30, 0.001), small = quota_of(2, 0.001);
	struct test_store others[2];
	struct fixture fixture;
	struct test_ask ask;

	(void)state;
	begin(&fixture, 0, 0);
	for (uint64_t i = 0; i < 2; i++) {
		store_begin(&fixture.world, &others[i], 2 + i);
		store_use_redis(&others[i], &fixture.server, 0, 0);
		wait_for_sync(&others[i]);
	}
	wait_for_sync(&fixture.store);
	assert_int_equal(fixture.store.counts.instances, 3);
	take(&fixture.store, "k", &quota, 30);
	lose_redis(&fixture);
	for (int i = 0; i < 11; i++) {
		ask_for(&fixture.store, &ask, "k", &quota, 1);
		assert_true(ask.at_once);
		/* What Redis said last is believed for a while. */
		if (!ask.ask.degraded)
			break;
		assert_int_equal(ask.ask.standing.allowed, i < 10);
		assert_int_equal(ask.ask.standing.limit, 30);
	}
	for (int i = 0; i < 11; i++) {
		ask_for(&fixture.store, &ask, "l", &quota, 1);
		assert_true(ask.at_once && ask.ask.degraded);
		assert_int_equal(ask.ask.standing.allowed, i < 10);
	}
	/* A share of less than a token is one; a taking over the share is all of it. */
	ask_for(&fixture.store, &ask, "m", &small, 2);
	assert_true(ask.ask.standing.allowed);
	ask_for(&fixture.store, &ask, "m", &small, 1);
	assert_false(ask.ask.standing.allowed);
	assert_true(thr_store_is_ready(fixture.store.store));
	for (int i = 0; i < 2; i++)
		store_end(&others[i]);
	store_end(&fixture.store);
	world_end(&fixture.world);
}

static void a_limit_says_what_is_done_without_redis(void **state)
{
	struct thr_quota quota = quota_of(10, 1);
	struct fixture fixture;
	struct test_ask ask;

	(void)state;
	begin(&fixture, 0, 0);
	take(&fixture.store, "k", &quota, 1);
	lose_redis(&fixture);
	quota.on_error = THR_ON_ERROR_ALLOW;
	for (int i = 0; i < 20; i++) {
		ask_for(&fixture.store, &ask, "a", &quota, 3);
		assert_true(ask.at_once && ask.ask.degraded);
		assert_true(ask.ask.standing.allowed);
		assert_int_equal(ask.ask.standing.remaining, 7);
	}
	assert_true(thr_store_is_ready(fixture.store.store));
	quota.on_error = THR_ON_ERROR_DENY;
	ask_for(&fixture.store, &ask, "d", &quota, 1);
	assert_true(ask.at_once && ask.ask.degraded);
	assert_false(ask.ask.standing.allowed);
	assert_in_range(ask.ask.standing.retry_ns, NS_PER_MS, 2 * NS_PER_S);
	assert_false(thr_store_is_ready(fixture.store.store));
	assert_int_equal(fixture.store.counts.degraded_allowed, 20);
	assert_int_equal(fixture.store.counts.degraded_denied, 1);
	assert_int_equal(fixture.store.bad, 1);
	store_end(&fixture.store);
	world_end(&fixture.world);
}

static void redis_is_used_again_when_it_answers(void **state)
{
	const struct thr_quota quota = quota_of(10, 0.001);
	struct fixture fixture;
	struct test_ask ask;

	(void)state;
	begin(&fixture, DEADLINE_MS, 0);
	turn_until(&fixture.world, is_well, &fixture.store);
	while (take(&fixture.store, "k", &quota, 1).remaining != 5)
		;
	kill(fixture.server.pid, SIGSTOP);
	turn_until(&fixture.world, is_degraded, &fixture.store);
	ask_for(&fixture.store, &ask, "k", &quota, 1);
	assert_true(ask.at_once && ask.ask.degraded);
	kill(fixture.server.pid, SIGCONT);
	turn_until(&fixture.world, is_well, &fixture.store);
	ask_for(&fixture.store, &ask, "k", &quota, 1);
	wait_for_ask(&fixture.store, &ask);
	assert_false(ask.ask.degraded);
	assert_int_equal(ask.ask.standing.remaining, 4);
	assert_int_equal(fixture.store.good, 1);
	end(&fixture);
}

/* --- leases --- */

/* What another worker, which leases nothing, finds left. */
static uint64_t left_to_others(struct fixture *fixture, const char *key,
			       const struct thr_quota *quota)
{
	struct test_store other;
	uint64_t left;

	store_begin(&fixture->world, &other, 1);
	store_use_redis(&other, &fixture->server, 0, 0);
	left = take(&other, key, quota, 0).remaining;
	store_end(&other);
	return left;
}

static void a_lease_answers_without_calls_and_keeps_the_limit(void **state)
{
	const struct thr_quota quota = quota_of(1000, 0.001);
	struct test_store other;
	struct fixture fixture;
	uint64_t allowed = 0;

	(void)state;
	begin(&fixture, 0, 20);
	store_begin(&fixture.world, &other, 2);
	store_use_redis(&other, &fixture.server, 0, 20);
	for (int i = 0; i < 2000; i++)
		allowed += take(i % 2 ? &fixture.store : &other, "k", &quota, 1).allowed;
	assert_in_range(allowed, 950, 1000);
	assert_in_range(fixture.store.counts.calls, 1, 200);
	assert_true(fixture.store.counts.known > 700);
	store_end(&other);
	end(&fixture);
}

static bool has_come_back(void *context)
{
	struct fixture *fixture = context;
	const struct thr_quota quota = quota_of(1000, 0.01);

	return left_to_others(fixture, "k", &quota) == 998;
}

static void what_was_leased_and_not_used_comes_back(void **state)
{
	const struct thr_quota quota = quota_of(1000, 0.01);
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0, 50);
	take(&fixture.store, "k", &quota, 1);
	take(&fixture.store, "k", &quota, 1);
	assert_int_equal(left_to_others(&fixture, "k", &quota), 948);
	turn_until(&fixture.world, has_come_back, &fixture);
	end(&fixture);
}

static void nothing_is_leased_where_takings_are_refused(void **state)
{
	const struct thr_quota quota = quota_of(10, 0.001);
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0, 4);
	assert_true(take(&fixture.store, "k", &quota, 1).allowed);
	assert_false(take(&fixture.store, "k", &quota, 10).allowed);
	assert_int_equal(left_to_others(&fixture, "k", &quota), 9);
	/* At most half of what is left. */
	assert_true(take(&fixture.store, "k", &quota, 5).allowed);
	assert_int_equal(left_to_others(&fixture, "k", &quota), 2);
	end(&fixture);
}

static void the_last_tokens_are_granted_where_some_are_leased(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0, 8);
	for (uint64_t burst = 1; burst <= 40; burst++) {
		const struct thr_quota quota = quota_of(burst, burst % 2 ? 0.001 : 1.01);
		uint64_t allowed = 0;
		char key[8];

		snprintf(key, sizeof(key), "%d", (int)burst);
		while (take(&fixture.store, key, &quota, 1).allowed)
			allowed++;
		assert_int_equal(allowed, burst);
	}
	end(&fixture);
}

static void a_look_counts_what_this_worker_holds_as_left(void **state)
{
	const struct thr_quota quota = quota_of(10, 0.001);
	struct test_store other;
	struct fixture fixture;
	struct thr_standing is;

	(void)state;
	begin(&fixture, 0, 4);
	store_begin(&fixture.world, &other, 2);
	store_use_redis(&other, &fixture.server, 0, 0);
	take(&fixture.store, "k", &quota, 1);
	take(&fixture.store, "k", &quota, 1);
	assert_int_equal(left_to_others(&fixture, "k", &quota), 4);
	assert_int_equal(take(&fixture.store, "k", &quota, 0).remaining, 8);
	/* Others have the rest: this worker still grants what it holds. */
	assert_true(take(&other, "k", &quota, 4).allowed);
	assert_false(take(&other, "k", &quota, 0).allowed);
	is = take(&fixture.store, "k", &quota, 0);
	assert_true(is.allowed);
	assert_int_equal(is.remaining, 4);
	for (int i = 0; i < 4; i++)
		assert_true(take(&fixture.store, "k", &quota, 1).allowed);
	assert_false(take(&fixture.store, "k", &quota, 0).allowed);
	store_end(&other);
	end(&fixture);
}

static void nobody_is_refused_for_what_this_worker_holds(void **state)
{
	const struct thr_quota quota = quota_of(100, 0.001);
	struct test_ask asks[3];
	struct thr_standing is;
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0, 50);
	take(&fixture.store, "k", &quota, 1);
	take(&fixture.store, "k", &quota, 1);
	is = take(&fixture.store, "k", &quota, 60);
	assert_true(is.allowed);
	assert_in_range(is.remaining, 37, 38);
	/* What it cannot hold is known, of the lease too. */
	is = take(&fixture.store, "k", &quota, 40);
	assert_false(is.allowed);
	assert_in_range(is.retry_ns, 1, 2001 * NS_PER_S);
	/* Those who come while a lease is on its way, too. */
	take(&fixture.store, "l", &quota, 1);
	ask_for(&fixture.store, &asks[0], "l", &quota, 1);
	thr_loop_turn(fixture.world.loop, 0);
	ask_for(&fixture.store, &asks[1], "l", &quota, 30);
	ask_for(&fixture.store, &asks[2], "l", &quota, 60);
	for (int i = 0; i < 3; i++) {
		wait_for_ask(&fixture.store, &asks[i]);
		assert_true(asks[i].ask.standing.allowed);
	}
	/* Of the 8 that are left, half are leased. */
	assert_int_equal(left_to_others(&fixture, "l", &quota), 4);
	end(&fixture);
}

/* --- other settings --- */

static void who_waits_is_answered_by_what_was_asked(void **state)
{
	const struct thr_quota quota = quota_of(10, 0.001);
	struct test_ask waiting, local;
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0, 0);
	ask_for(&fixture.store, &waiting, "k", &quota, 3);
	store_use(&fixture.store, NULL);
	ask_for(&fixture.store, &local, "k", &quota, 1);
	assert_true(local.at_once);
	assert_int_equal(local.ask.standing.remaining, 9);
	wait_for_ask(&fixture.store, &waiting);
	assert_false(waiting.ask.degraded);
	assert_int_equal(waiting.ask.standing.remaining, 7);
	store_use_redis(&fixture.store, &fixture.server, 0, 0);
	ask_for(&fixture.store, &waiting, "k", &quota, 1);
	store_use_redis(&fixture.store, &fixture.server, 777, 0);
	wait_for_ask(&fixture.store, &waiting);
	assert_int_equal(waiting.ask.standing.remaining, 6);
	assert_int_equal(take(&fixture.store, "k", &quota, 1).remaining, 5);
	end(&fixture);
}

static void what_was_leased_comes_back_with_other_settings_and_at_the_end(void **state)
{
	const struct thr_quota quota = quota_of(1000, 0.01);
	struct test_ask late;
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0, 400);
	take(&fixture.store, "k", &quota, 1);
	take(&fixture.store, "k", &quota, 1);
	assert_int_equal(left_to_others(&fixture, "k", &quota), 598);
	store_use_redis(&fixture.store, &fixture.server, 7000, 400);
	turn_until(&fixture.world, has_come_back, &fixture);
	/* Those of a call that is on its way, too; and nothing is leased after that. */
	take(&fixture.store, "l", &quota, 1);
	take(&fixture.store, "l", &quota, 1);
	take(&fixture.store, "m", &quota, 1);
	ask_for(&fixture.store, &late, "m", &quota, 1);
	thr_loop_turn(fixture.world.loop, 0);
	thr_store_drain(fixture.store.store);
	assert_true(thr_store_is_draining(fixture.store.store));
	wait_for_ask(&fixture.store, &late);
	while (thr_store_is_draining(fixture.store.store))
		thr_loop_turn(fixture.world.loop, 100);
	assert_int_equal(left_to_others(&fixture, "l", &quota), 998);
	assert_int_equal(left_to_others(&fixture, "m", &quota), 998);
	take(&fixture.store, "m", &quota, 1);
	assert_int_equal(left_to_others(&fixture, "m", &quota), 997);
	end(&fixture);
}

static void what_is_leased_for_who_has_left_comes_back(void **state)
{
	const struct thr_quota quota = quota_of(1000, 0.01);
	struct test_ask ask;
	struct fixture fixture;

	(void)state;
	begin(&fixture, 0, 400);
	take(&fixture.store, "k", &quota, 1);
	/* Longer than others wait before they look whether it is over. */
	server_do(&fixture.server, "CLIENT PAUSE 300 ALL");
	ask_for(&fixture.store, &ask, "k", &quota, 1);
	thr_loop_turn(fixture.world.loop, 0);
	thr_store_cancel(fixture.store.store, &ask.ask);
	store_use_redis(&fixture.store, &fixture.server, 7000, 400);
	turn_until(&fixture.world, has_come_back, &fixture);
	/* Nor does a worker end before it is there. */
	take(&fixture.store, "l", &quota, 1);
	ask_for(&fixture.store, &ask, "l", &quota, 1);
	thr_loop_turn(fixture.world.loop, 0);
	thr_store_cancel(fixture.store.store, &ask.ask);
	thr_store_drain(fixture.store.store);
	while (thr_store_is_draining(fixture.store.store))
		thr_loop_turn(fixture.world.loop, 100);
	assert_int_equal(left_to_others(&fixture, "l", &quota), 998);
	end(&fixture);
}

static void other_settings_while_redis_is_away_do_not_forget_the_instances(void **state)
{
	struct thr_quota quota = quota_of(100, 0.001);
	unsigned int allowed = 0;
	struct test_store other;
	struct fixture fixture;
	struct test_ask ask;

	(void)state;
	begin(&fixture, 0, 0);
	store_begin(&fixture.world, &other, 2);
	store_use_redis(&other, &fixture.server, 0, 0);
	wait_for_sync(&other);
	wait_for_sync(&fixture.store);
	lose_redis(&fixture);
	quota.on_error = THR_ON_ERROR_DENY;
	ask_for(&fixture.store, &ask, "d", &quota, 1);
	quota.on_error = THR_ON_ERROR_LOCAL;
	store_use_redis(&fixture.store, &fixture.server, 999, 0);
	for (int i = 0; i < 100; i++) {
		ask_for(&fixture.store, &ask, "k", &quota, 1);
		wait_for_ask(&fixture.store, &ask);
		assert_true(ask.ask.degraded);
		allowed += ask.ask.standing.allowed;
	}
	assert_int_equal(allowed, 50);
	assert_false(thr_store_is_ready(fixture.store.store));
	store_end(&other);
	store_end(&fixture.store);
	world_end(&fixture.world);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_taking_says_where_the_client_stands),
		cmocka_unit_test(takings_of_one_turn_are_one_call),
		cmocka_unit_test(of_a_run_as_many_conform_as_the_bucket_holds),
		cmocka_unit_test(more_runs_than_a_call_holds_go_in_the_next),
		cmocka_unit_test(what_redis_keeps_is_right_to_the_tick),
		cmocka_unit_test(a_look_changes_nothing),
		cmocka_unit_test(what_is_known_to_be_over_is_denied_without_a_call),
		cmocka_unit_test(a_bucket_expires_when_it_is_full),
		cmocka_unit_test(scripts_that_were_flushed_are_found_again),
		cmocka_unit_test(a_value_of_somebody_else_is_a_full_bucket),
		cmocka_unit_test(a_debt_that_no_limit_leads_to_is_an_empty_bucket),
		cmocka_unit_test(who_leaves_is_not_called),
		cmocka_unit_test(more_keys_than_are_remembered_are_served),
		cmocka_unit_test(nobody_waits_longer_than_the_deadline),
		cmocka_unit_test(a_machine_without_redis_gives_its_share_of_a_limit),
		cmocka_unit_test(a_limit_says_what_is_done_without_redis),
		cmocka_unit_test(redis_is_used_again_when_it_answers),
		cmocka_unit_test(a_lease_answers_without_calls_and_keeps_the_limit),
		cmocka_unit_test(what_was_leased_and_not_used_comes_back),
		cmocka_unit_test(nothing_is_leased_where_takings_are_refused),
		cmocka_unit_test(the_last_tokens_are_granted_where_some_are_leased),
		cmocka_unit_test(a_look_counts_what_this_worker_holds_as_left),
		cmocka_unit_test(nobody_is_refused_for_what_this_worker_holds),
		cmocka_unit_test(who_waits_is_answered_by_what_was_asked),
		cmocka_unit_test(what_was_leased_comes_back_with_other_settings_and_at_the_end),
		cmocka_unit_test(what_is_leased_for_who_has_left_comes_back),
		cmocka_unit_test(other_settings_while_redis_is_away_do_not_forget_the_instances),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
