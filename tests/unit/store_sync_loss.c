/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Quotas that instances share, and a real Redis that forgets, or in which others write. */
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "unit/two_stores.h"

#define INTERVAL_NS (200 * NS_PER_MS) /* between two looks, at least */
#define PAGE 256		      /* changes of a reply */

/* --- a failover --- */

static void copy(const struct redis_server *server, const char *from, const char *to)
{
	static const char *const names[] = {"meta", "quotas", "log", "removed"};
	char command[100];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(command, sizeof(command), "DEL %s:{sync}:%s", to, names[i]);
		server_do(server, command);
		snprintf(command, sizeof(command), "COPY %s:{sync}:%s %s:{sync}:%s", from, names[i],
			 to, names[i]);
		server_do(server, command);
	}
}

/* What a replica has got so far, */
static void replicate(const struct redis_server *server)
{
	copy(server, "t", "replica");
}

/* which takes over. */
static void fail_over(const struct redis_server *server)
{
	copy(server, "replica", "t");
}

struct in_redis {
	const struct redis_server *server;
	const char *key;
	bool is_set;
};

static bool is_in_redis(void *context)
{
	const struct in_redis *in = context;
	char command[100];

	snprintf(command, sizeof(command), "HEXISTS t:{sync}:quotas %s", in->key);
	return redis_number(in->server, command) == in->is_set;
}

/* In Redis it comes to be so. */
static void expect_in_redis(struct fixture *fixture, const char *key, bool is_set)
{
	struct in_redis in = {&fixture->server, key, is_set};

	turn_until(&fixture->world, is_in_redis, &in);
}

static void a_removal_that_a_failover_lost_is_made_again(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	put(&fixture.one, "stays", 1, NULL);
	put(&fixture.one, "goes", 2, NULL);
	replicate(&fixture.server);
	assert_int_equal(change_quota(&fixture.one, THR_QUOTA_DELETE, "goes", NULL, NULL).result,
			 THR_CHANGE_DONE);
	expect(&fixture.other, "goes", 0);
	fail_over(&fixture.server);
	expect_in_redis(&fixture, "goes", true);
	expect_in_redis(&fixture, "goes", false);
	expect(&fixture.one, "goes", 0);
	expect(&fixture.other, "goes", 0);
	expect(&fixture.other, "stays", 1);
	end(&fixture);
}

/* By one who was told of it, or read of it, and by one who began after it. */
static void a_removal_is_known_to_all_who_read_it(void **state)
{
	struct fixture fixture;
	struct test_store late;

	(void)state;
	begin(&fixture);
	put(&fixture.one, "goes", 2, NULL);
	replicate(&fixture.server);
	change_quota(&fixture.one, THR_QUOTA_DELETE, "goes", NULL, NULL);
	put(&fixture.one, "stays", 1, NULL);
	store_begin(&fixture.world, &late, 3);
	store_use_redis(&late, &fixture.server, 0, 0);
	expect(&late, "stays", 1);
	store_use(&fixture.one, NULL);
	store_use(&fixture.other, NULL);
	fail_over(&fixture.server);
	expect_in_redis(&fixture, "goes", false);
	expect_in_redis(&fixture, "stays", true);
	store_end(&late);
	end(&fixture);
}

/* Also where first comes who knows of the removal only: other settings, here of leases, make it
 * ask at once. */
static void what_was_set_after_a_removal_is_put_back_after_it(void **state)
{
	struct thr_change change, found;
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	for (uint64_t round = 1; round <= 4; round++) {
		put(&fixture.one, "k", 10, NULL);
		expect(&fixture.other, "k", 10);
		change_quota(&fixture.one, THR_QUOTA_DELETE, "k", NULL, NULL);
		expect(&fixture.other, "k", 0);
		change = put(&fixture.one, "k", round, NULL);
		server_do(&fixture.server, "FLUSHALL");
		if (round > 1)
			store_use_redis(&fixture.other, &fixture.server, 0, round);
		expect(&fixture.other, "k", round);
		expect(&fixture.one, "k", round);
		found = change_quota(&fixture.one, THR_QUOTA_GET, "k", NULL, NULL);
		assert_int_equal(found.quota.version, change.quota.version);
	}
	end(&fixture);
}

#define BATCH 64 /* quotas of a call that puts them back */
#define LATE_MS 500
#define PAUSE_MS "700"

static bool has_most(void *context)
{
	return redis_number(context, "HLEN t:{sync}:quotas") >= 5 * BATCH;
}

static bool has_all(void *context)
{
	return redis_number(context, "HLEN t:{sync}:quotas") == 7 * BATCH;
}

static bool was_late(void *context)
{
	return ((struct test_store *)context)->counts.call_timeouts > 0;
}

static void who_puts_back_goes_on_where_an_answer_was_late(void **state)
{
	struct redis_server server;
	struct test_world world;
	struct test_store store;
	uint64_t commands;
	char key[16];

	(void)state;
	server_begin(&server, NULL);
	world_begin(&world);
	store_begin(&world, &store, 1);
	store_use_redis(&store, &server, LATE_MS, 0);
	for (int i = 0; i < 7 * BATCH; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		put(&store, key, 5, NULL);
	}
	server_do(&server, "FLUSHALL");
	commands = store.counts.commands;
	turn_until(&world, has_most, &server);
	server_do(&server, "CLIENT PAUSE " PAUSE_MS);
	turn_until(&world, was_late, &store);
	turn_until(&world, has_all, &server);
	/* 7 calls, one of them twice, and one to begin by and to go on by: not 5 once more. */
	assert_in_range(store.counts.commands - commands, 9, 12);
	store_end(&store);
	world_end(&world);
	server_end(&server);
}

/* --- what is removed by somebody else --- */

static void what_somebody_else_removed_is_put_back(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	put(&fixture.one, "a", 1, NULL);
	put(&fixture.one, "b", 2, NULL);
	expect(&fixture.other, "b", 2);
	server_do(&fixture.server, "HDEL t:{sync}:quotas a");
	expect_in_redis(&fixture, "a", true);
	server_do(&fixture.server, "DEL t:{sync}:quotas");
	expect_in_redis(&fixture, "a", true);
	expect_in_redis(&fixture, "b", true);
	server_do(&fixture.server, "DEL t:{sync}:log");
	expect_in_redis(&fixture, "b", true);
	put(&fixture.one, "c", 3, NULL);
	expect(&fixture.other, "c", 3);
	expect(&fixture.other, "a", 1);
	expect(&fixture.one, "b", 2);
	end(&fixture);
}

static void what_the_log_lost_is_found_by_who_comes_later(void **state)
{
	static const char *const losses[] = {"DEL t:{sync}:log", "ZREM t:{sync}:log a"};
	char before[64], after[64];
	struct fixture fixture;
	struct test_store late;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
		begin(&fixture);
		put(&fixture.one, "a", 1, NULL);
		put(&fixture.one, "goes", 1, NULL);
		change_quota(&fixture.one, THR_QUOTA_DELETE, "goes", NULL, NULL);
		put(&fixture.one, "b", 2, NULL);
		expect(&fixture.other, "b", 2);
		server_do(&fixture.server, losses[i]);
		store_begin(&fixture.world, &late, 3);
		store_use_redis(&late, &fixture.server, 0, 0);
		expect(&late, "a", 1);
		expect(&late, "b", 2);
		wait_for_sync(&fixture.one);
		server_text(&fixture.server, "HGET t:{sync}:meta epoch", before, sizeof(before));
		wait_for_sync(&fixture.one);
		wait_for_sync(&fixture.other);
		server_text(&fixture.server, "HGET t:{sync}:meta epoch", after, sizeof(after));
		assert_string_equal(before, after);
		assert_int_equal(redis_number(&fixture.server, "ZCARD t:{sync}:log"), 3);
		store_end(&late);
		end(&fixture);
	}
}

/* Of a key that nobody knows any more there is nothing to put back, and no end to trying. */
static void what_nobody_knows_makes_one_epoch(void **state)
{
	char before[64], after[64];
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	put(&fixture.one, "k", 1, NULL);
	server_text(&fixture.server, "HGET t:{sync}:meta epoch", before, sizeof(before));
	server_do(&fixture.server, "ZADD t:{sync}:log 7 nobody");
	wait_for_sync(&fixture.one);
	wait_for_sync(&fixture.other);
	server_text(&fixture.server, "HGET t:{sync}:meta epoch", after, sizeof(after));
	assert_string_not_equal(before, after);
	wait_for_sync(&fixture.one);
	wait_for_sync(&fixture.other);
	server_text(&fixture.server, "HGET t:{sync}:meta epoch", before, sizeof(before));
	assert_string_equal(before, after);
	expect(&fixture.one, "k", 1);
	end(&fixture);
}

/* --- removals that the log does not have any more --- */

/* Removals in the log after the number `after`. */
static void add_removals(const struct redis_server *server, uint64_t after, int count)
{
	static const char *const names[] = {"log", "removed"};
	static char command[32 * 1024];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int at = snprintf(command, sizeof(command), "ZADD t:{sync}:%s", names[i]);

		for (int n = 1; n <= count; n++)
			at += snprintf(command + at, sizeof(command) - (size_t)at, " %llu x%d",
				       (unsigned long long)after + (unsigned int)n, n);
		server_do(server, command);
	}
	snprintf(command, sizeof(command), "HSET t:{sync}:meta version %llu",
		 (unsigned long long)after + (unsigned int)count);
	server_do(server, command);
}

static bool has_dropped(void *context)
{
	struct test_store *store = context;
	struct thr_quota quota;

	if (!find_quota(store, "goes", &quota))
		return true;
	assert_false(thr_store_has_quotas(store->store));
	return false;
}

static void a_removal_that_is_dropped_while_all_is_read_is_noticed(void **state)
{
	struct fixture fixture;
	struct test_store late;
	char command[100];
	uint64_t version;

	(void)state;
	begin(&fixture);
	version = put(&fixture.one, "goes", 2, NULL).quota.version;
	add_removals(&fixture.server, version, 2 * PAGE + 20);
	store_begin(&fixture.world, &late, 3);
	store_use_redis(&late, &fixture.server, 0, 0);
	expect(&late, "goes", 2); /* a page of three was read, the next is on its way */
	assert_int_equal(late.counts.quotas, 0);
	server_do(&fixture.server, "HDEL t:{sync}:quotas goes");
	server_do(&fixture.server, "ZREM t:{sync}:log goes");
	version += 2 * PAGE + 21;
	snprintf(command, sizeof(command), "HSET t:{sync}:meta floor %llu version %llu",
		 (unsigned long long)version, (unsigned long long)version);
	server_do(&fixture.server, command);
	turn_until(&fixture.world, has_dropped, &late);
	assert_true(thr_store_has_quotas(late.store));
	store_end(&late);
	end(&fixture);
}

static void a_removal_that_was_dropped_stays_so_where_nothing_came_back(void **state)
{
	struct thr_change removed;
	struct fixture fixture;
	char command[100];

	(void)state;
	begin(&fixture);
	put(&fixture.one, "old", 1, NULL);
	removed = change_quota(&fixture.one, THR_QUOTA_DELETE, "old", NULL, NULL);
	put(&fixture.one, "k", 2, NULL);
	expect(&fixture.other, "k", 2);
	server_do(&fixture.server, "ZREM t:{sync}:log old");
	server_do(&fixture.server, "ZREM t:{sync}:removed old");
	snprintf(command, sizeof(command), "HSET t:{sync}:meta floor %llu dropped %llu",
		 (unsigned long long)removed.quota.version,
		 (unsigned long long)removed.quota.version);
	server_do(&fixture.server, command);
	server_do(&fixture.server, "HDEL t:{sync}:quotas k");
	expect_in_redis(&fixture, "k", true);
	wait_for_sync(&fixture.one);
	wait_for_sync(&fixture.other);
	assert_int_equal(redis_number(&fixture.server, "ZCARD t:{sync}:log"), 1);
	assert_int_equal(redis_number(&fixture.server, "EXISTS t:{sync}:removed"), 0);
	end(&fixture);
}

/* --- what is not as it should be --- */

static bool was_told_good(void *context)
{
	return ((struct test_store *)context)->good > 0;
}

static bool was_told_bad(void *context)
{
	return ((struct test_store *)context)->bad > 0;
}

static void what_is_of_another_type_is_told_once(void **state)
{
	static const char *const names[] = {"meta", "quotas", "log", "removed", "instances"};
	struct fixture fixture;
	char command[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		begin(&fixture);
		put(&fixture.one, "k", 1, NULL);
		snprintf(command, sizeof(command), "SET t:{sync}:%s x", names[i]);
		server_do(&fixture.server, command);
		turn_until(&fixture.world, was_told_bad, &fixture.one);
		assert_non_null(strstr(fixture.one.told, "WRONGTYPE"));
		wait_for_sync(&fixture.one);
		assert_int_equal(fixture.one.bad, 1);
		expect(&fixture.one, "k", 1);
		snprintf(command, sizeof(command), "DEL t:{sync}:%s", names[i]);
		server_do(&fixture.server, command);
		turn_until(&fixture.world, was_told_good, &fixture.one);
		assert_int_equal(fixture.one.bad, 1);
		assert_int_equal(fixture.one.good, 1);
		put(&fixture.other, "l", 2, NULL);
		expect(&fixture.one, "l", 2);
		expect_in_redis(&fixture, "k", true);
		end(&fixture);
	}
}

/* Its version is not that of a removal, which would be put back. */
static void what_is_no_quota_is_not_taken_for_a_removal(void **state)
{
	struct fixture fixture;
	char command[100];
	uint64_t version;

	(void)state;
	begin(&fixture);
	put(&fixture.one, "k", 1, NULL);
	version = put(&fixture.one, "stays", 2, NULL).quota.version;
	snprintf(command, sizeof(command), "HSET t:{sync}:quotas k 99999999999999999999:1");
	server_do(&fixture.server, command);
	snprintf(command, sizeof(command), "ZADD t:{sync}:log %llu k",
		 (unsigned long long)version + 1);
	server_do(&fixture.server, command);
	snprintf(command, sizeof(command), "HSET t:{sync}:meta version %llu",
		 (unsigned long long)version + 1);
	server_do(&fixture.server, command);
	expect(&fixture.one, "k", 0);
	expect(&fixture.other, "k", 0);
	server_do(&fixture.server, "FLUSHALL");
	expect_in_redis(&fixture, "stays", true);
	wait_for_sync(&fixture.one);
	wait_for_sync(&fixture.other);
	assert_int_equal(redis_number(&fixture.server, "EXISTS t:{sync}:removed"), 0);
	assert_true(put(&fixture.one, "k", 3, NULL).result == THR_CHANGE_CREATED);
	expect(&fixture.other, "k", 3);
	end(&fixture);
}

/* Fractions are not numbers of ours. */
static void a_log_that_does_not_go_on_is_not_asked_for_at_once(void **state)
{
	struct fixture fixture;
	struct test_store late;
	static char command[16 * 1024] = "ZADD t:{sync}:log";
	size_t at = strlen(command);
	uint64_t begun_ns;

	(void)state;
	begin(&fixture);
	put(&fixture.one, "k", 1, NULL);
	for (int n = 0; n <= PAGE; n++)
		at += (size_t)snprintf(command + at, sizeof(command) - at, " 0.%03d x%d", n + 1, n);
	server_do(&fixture.server, command);
	store_begin(&fixture.world, &late, 3);
	store_use_redis(&late, &fixture.server, 0, 0);
	wait_for_sync(&late);
	begun_ns = thr_clock_monotonic_ns();
	wait_for_sync(&late);
	assert_true(thr_clock_monotonic_ns() - begun_ns > INTERVAL_NS / 2);
	store_end(&late);
	end(&fixture);
}

static void who_has_no_place_for_all_tells_and_reads_them_once_there_is(void **state)
{
	struct thr_quotas *more, *few;
	struct test_store late;
	struct fixture fixture;
	char key[16];

	(void)state;
	begin(&fixture);
	for (int i = 0; i < 6; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		put(&fixture.one, key, 5, NULL);
	}
	assert_int_equal(thr_quotas_new(4, false, &few), 0);
	more = fixture.world.quotas;
	fixture.world.quotas = few;
	store_begin(&fixture.world, &late, 3);
	store_use_redis(&late, &fixture.server, 0, 0);
	turn_until(&fixture.world, was_told_bad, &late);
	assert_non_null(strstr(late.told, "api.max_configs"));
	assert_int_equal(late.counts.quotas, 4);
	expect(&late, "k5", 0);
	change_quota(&fixture.one, THR_QUOTA_DELETE, "k0", NULL, NULL);
	expect(&late, "k4", 5);
	assert_int_equal(late.good, 0);
	change_quota(&fixture.one, THR_QUOTA_DELETE, "k1", NULL, NULL);
	turn_until(&fixture.world, was_told_good, &late);
	expect(&late, "k5", 5);
	assert_int_equal(late.bad, 1);
	store_end(&late);
	fixture.world.quotas = more;
	thr_quotas_free(few);
	end(&fixture);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_removal_that_a_failover_lost_is_made_again),
		cmocka_unit_test(a_removal_is_known_to_all_who_read_it),
		cmocka_unit_test(what_was_set_after_a_removal_is_put_back_after_it),
		cmocka_unit_test(who_puts_back_goes_on_where_an_answer_was_late),
		cmocka_unit_test(what_somebody_else_removed_is_put_back),
		cmocka_unit_test(what_the_log_lost_is_found_by_who_comes_later),
		cmocka_unit_test(what_nobody_knows_makes_one_epoch),
		cmocka_unit_test(a_removal_that_is_dropped_while_all_is_read_is_noticed),
		cmocka_unit_test(a_removal_that_was_dropped_stays_so_where_nothing_came_back),
		cmocka_unit_test(what_is_of_another_type_is_told_once),
		cmocka_unit_test(what_is_no_quota_is_not_taken_for_a_removal),
		cmocka_unit_test(a_log_that_does_not_go_on_is_not_asked_for_at_once),
		cmocka_unit_test(who_has_no_place_for_all_tells_and_reads_them_once_there_is),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
