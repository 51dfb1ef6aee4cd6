/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Quotas that instances share through a real Redis. */
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "unit/two_stores.h"

#define SYNC_NS (1 * NS_PER_S) /* in which a change reaches every instance */

static void a_quota_reaches_the_other_instance_within_a_second(void **state)
{
	struct thr_quota quota = quota_of(7, 0.1), found;
	uint64_t begun_ns, version;
	struct thr_change change;
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	quota.on_error = THR_ON_ERROR_DENY;
	begun_ns = thr_clock_monotonic_ns();
	change = change_quota(&fixture.one, THR_QUOTA_PUT, "k", &quota, NULL);
	assert_int_equal(change.result, THR_CHANGE_CREATED);
	version = change.quota.version;
	assert_true(version);
	/* Who changed it knows at once. */
	assert_true(find_quota(&fixture.one, "k", &found));
	expect(&fixture.other, "k", 7);
	assert_in_range(thr_clock_monotonic_ns() - begun_ns, 0, SYNC_NS);
	assert_true(find_quota(&fixture.other, "k", &found));
	assert_int_equal(found.limit.interval, quota.limit.interval);
	assert_int_equal(found.limit.window, quota.limit.window);
	assert_true(found.refill_per_s == quota.refill_per_s);
	assert_int_equal(found.on_error, THR_ON_ERROR_DENY);
	assert_int_equal(found.version, version);

	change = change_quota(&fixture.other, THR_QUOTA_DELETE, "k", NULL, NULL);
	assert_int_equal(change.result, THR_CHANGE_DONE);
	assert_false(find_quota(&fixture.other, "k", &found));
	expect(&fixture.one, "k", 0);
	assert_int_equal(change_quota(&fixture.one, THR_QUOTA_DELETE, "k", NULL, NULL).result,
			 THR_CHANGE_ABSENT);
	end(&fixture);
}

static void what_is_set_is_got_from_redis(void **state)
{
	struct thr_change change;
	struct fixture fixture;
	uint64_t version;

	(void)state;
	begin(&fixture);
	assert_int_equal(change_quota(&fixture.one, THR_QUOTA_GET, "k", NULL, NULL).result,
			 THR_CHANGE_ABSENT);
	version = put(&fixture.one, "k", 12, NULL).quota.version;
	change = change_quota(&fixture.other, THR_QUOTA_GET, "k", NULL, NULL);
	assert_int_equal(change.result, THR_CHANGE_DONE);
	assert_int_equal(change.quota.capacity, 12);
	assert_int_equal(change.quota.version, version);
	end(&fixture);
}

static void the_default_is_for_keys_without_one(void **state)
{
	struct fixture fixture;
	struct thr_quota found;

	(void)state;
	begin(&fixture);
	assert_false(find_quota(&fixture.one, "any", &found));
	assert_int_equal(found.capacity, 100);
	put(&fixture.one, THR_QUOTA_DEFAULT, 33, NULL);
	assert_false(find_quota(&fixture.one, "any", &found));
	assert_int_equal(found.capacity, 33);
	end(&fixture);
}

static void a_condition_is_judged_where_the_quota_is(void **state)
{
	const struct thr_condition none = {.kind = THR_IF_NONE_MATCH, .any = true};
	const struct thr_condition some = {.kind = THR_IF_MATCH, .any = true};
	struct thr_condition version = {.kind = THR_IF_MATCH, .count = 2, .version = {99}};
	struct thr_change change;
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	assert_int_equal(put(&fixture.one, "k", 5, &some).result, THR_CHANGE_CONFLICT);
	change = put(&fixture.one, "k", 5, &none);
	assert_int_equal(change.result, THR_CHANGE_CREATED);
	version.version[1] = change.quota.version;
	assert_int_equal(put(&fixture.other, "k", 6, &none).result, THR_CHANGE_CONFLICT);
	change = put(&fixture.other, "k", 6, &version);
	assert_int_equal(change.result, THR_CHANGE_DONE);
	assert_true(change.quota.version > version.version[1]);
	assert_int_equal(put(&fixture.one, "k", 7, &version).result, THR_CHANGE_CONFLICT);
	assert_int_equal(change_quota(&fixture.one, THR_QUOTA_DELETE, "k", NULL, &version).result,
			 THR_CHANGE_CONFLICT);
	version.version[1] = change.quota.version;
	assert_int_equal(change_quota(&fixture.one, THR_QUOTA_DELETE, "k", NULL, &version).result,
			 THR_CHANGE_DONE);
	/* A version is not given twice. */
	assert_true(put(&fixture.one, "k", 5, NULL).quota.version > change.quota.version + 1);
	end(&fixture);
}

static void there_are_no_more_quotas_than_may_be(void **state)
{
	struct fixture fixture;
	char key[16];

	(void)state;
	begin(&fixture);
	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(put(&fixture.one, key, 5, NULL).result, THR_CHANGE_CREATED);
	}
	assert_int_equal(put(&fixture.other, "more", 5, NULL).result, THR_CHANGE_FULL);
	assert_int_equal(put(&fixture.other, "k7", 6, NULL).result, THR_CHANGE_DONE);
	expect(&fixture.other, "k499", 5);
	assert_int_equal(fixture.other.counts.quotas, 500);
	assert_int_equal(change_quota(&fixture.other, THR_QUOTA_DELETE, "k0", NULL, NULL).result,
			 THR_CHANGE_DONE);
	assert_int_equal(put(&fixture.one, "more", 5, NULL).result, THR_CHANGE_CREATED);
	end(&fixture);
}

static bool knows_how_many(void *context)
{
	return ((struct test_store *)context)->counts.quotas > 0;
}

static void how_many_there_are_is_told_once_all_were_read(void **state)
{
	struct test_store late;
	struct fixture fixture;
	char key[16];

	(void)state;
	begin(&fixture);
	for (int i = 0; i < 300; i++) { /* more than a page of changes */
		snprintf(key, sizeof(key), "k%d", i);
		put(&fixture.one, key, 5, NULL);
	}
	store_begin(&fixture.world, &late, 3);
	store_use_redis(&late, &fixture.server, 0, 0);
	turn_until(&fixture.world, knows_how_many, &late);
	assert_int_equal(late.counts.quotas, 300);
	store_end(&late);
	end(&fixture);
}

static bool can_list(void *context)
{
	return thr_store_quotas(((struct test_store *)context)->store);
}

static void what_is_set_is_listed_once_all_was_read(void **state)
{
	struct thr_quota_place place[301];
	struct test_store late;
	struct fixture fixture;
	char key[16];

	(void)state;
	begin(&fixture);
	for (int i = 0; i < 300; i++) { /* more than a page of changes */
		snprintf(key, sizeof(key), "k%d", i);
		put(&fixture.one, key, 5, NULL);
	}
	store_begin(&fixture.world, &late, 3);
	assert_true(can_list(&late)); /* on memory */
	store_use_redis(&late, &fixture.server, 0, 0);
	assert_false(can_list(&late));
	turn_until(&fixture.world, can_list, &late);
	assert_int_equal(thr_quotas_list(thr_store_quotas(late.store), 0, 301, place), 300);
	/* In the order that all know. */
	for (int i = 0; i < 300; i++) {
		struct thr_quota quota;

		snprintf(key, sizeof(key), "k%d", i);
		assert_true(find_quota(&fixture.one, key, &quota));
		assert_int_equal(place[i].version, quota.version);
	}
	store_end(&late);
	end(&fixture);
}

static void quotas_are_put_back_into_a_redis_that_lost_them(void **state)
{
	uint64_t version[150];
	struct fixture fixture;
	struct thr_quota found;
	char key[16];

	(void)state;
	begin(&fixture);
	for (int i = 0; i < 150; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		version[i] = put(&fixture.one, key, 5, NULL).quota.version;
	}
	expect(&fixture.other, "k149", 5);
	server_do(&fixture.server, "FLUSHALL");
	/* The change that comes first has a version that was not given. */
	assert_true(put(&fixture.other, "new", 9, NULL).quota.version > version[149]);
	assert_int_equal(change_quota(&fixture.other, THR_QUOTA_GET, "new", NULL, NULL).result,
			 THR_CHANGE_DONE);
	expect(&fixture.one, "new", 9);
	wait_for_sync(&fixture.one);
	assert_int_equal(redis_number(&fixture.server, "HLEN t:{sync}:quotas"), 151);
	for (int i = 0; i < 150; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_true(find_quota(&fixture.other, key, &found));
		assert_int_equal(found.version, version[i]);
		assert_int_equal(
			change_quota(&fixture.one, THR_QUOTA_GET, key, NULL, NULL).quota.version,
			version[i]);
	}
	end(&fixture);
}

static void a_redis_that_fell_back_is_told_what_it_forgot(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	put(&fixture.one, "old", 1, NULL);
	put(&fixture.one, "lost", 2, NULL);
	put(&fixture.one, "old", 3, NULL);
	expect(&fixture.other, "old", 3);
	/* As a replica that had got only the first change. */
	server_do(&fixture.server, "HSET t:{sync}:meta version 1");
	server_do(&fixture.server, "DEL t:{sync}:log t:{sync}:quotas");
	server_do(&fixture.server, "ZADD t:{sync}:log 1 old");
	wait_for_sync(&fixture.one);
	wait_for_sync(&fixture.one);
	assert_int_equal(
		change_quota(&fixture.one, THR_QUOTA_GET, "old", NULL, NULL).quota.capacity, 3);
	assert_int_equal(
		change_quota(&fixture.one, THR_QUOTA_GET, "lost", NULL, NULL).quota.capacity, 2);
	assert_int_equal(put(&fixture.one, "new", 4, NULL).result, THR_CHANGE_CREATED);
	expect(&fixture.other, "new", 4);
	end(&fixture);
}

/* A failover to a replica that had all but the last change, and went on from there before the
 * one who made it asked again. */
static void a_change_that_a_failover_lost_is_put_back_whatever_came_since(void **state)
{
	struct thr_change lost, since;
	struct fixture fixture;
	char command[100];

	(void)state;
	begin(&fixture);
	since = put(&fixture.one, "base", 1, NULL);
	expect(&fixture.other, "base", 1);
	wait_for_sync(&fixture.other);
	lost = put(&fixture.one, "lost", 2, NULL);
	snprintf(command, sizeof(command), "HSET t:{sync}:meta version %llu",
		 (unsigned long long)since.quota.version);
	server_do(&fixture.server, command);
	server_do(&fixture.server, "ZREM t:{sync}:log lost");
	server_do(&fixture.server, "HDEL t:{sync}:quotas lost");
	since = put(&fixture.other, "new", 3, NULL);
	assert_true(since.quota.version > lost.quota.version);
	expect(&fixture.other, "lost", 2);
	expect(&fixture.one, "new", 3);
	expect(&fixture.one, "lost", 2);
	expect(&fixture.one, "base", 1);
	end(&fixture);
}

/* So that what is read anew must not be missing meanwhile. */
static bool is_gone_from_a_list(void *context)
{
	const struct thr_quotas *quotas =
		thr_store_quotas(((struct expected *)context)->store->store);

	assert_non_null(quotas);
	assert_in_range(thr_quotas_count(quotas), 4, 5);
	return is_known(context);
}

static void who_missed_removals_reads_all_anew(void **state)
{
	char key[16], command[100];
	struct expected gone = {.key = "goes"};
	struct test_store late;
	struct fixture fixture;
	uint64_t last = 0;

	(void)state;
	begin(&fixture);
	put(&fixture.one, "stays", 1, NULL);
	put(&fixture.one, "goes", 2, NULL);
	expect(&fixture.other, "goes", 2);
	/* While the other one does not look, more is removed than the log keeps: the loop
	 * serves both, so its part of the log is cut off by hand. */
	for (int i = 0; i < 3; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		last = put(&fixture.one, key, 5, NULL).quota.version;
	}
	expect(&fixture.other, "k2", 5);
	server_do(&fixture.server, "HDEL t:{sync}:quotas goes");
	server_do(&fixture.server, "ZREM t:{sync}:log goes");
	snprintf(command, sizeof(command), "HSET t:{sync}:meta floor %llu version %llu",
		 (unsigned long long)last + 1, (unsigned long long)last + 2);
	server_do(&fixture.server, command);
	gone.store = &fixture.other;
	turn_until(&fixture.world, is_gone_from_a_list, &gone);
	expect(&fixture.other, "stays", 1);
	expect(&fixture.other, "k0", 5);
	/* Who comes anew has missed nothing. */
	store_begin(&fixture.world, &late, 3);
	store_use_redis(&late, &fixture.server, 0, 0);
	expect(&late, "stays", 1);
	store_end(&late);
	end(&fixture);
}

static void the_log_keeps_a_thousand_removals(void **state)
{
	struct fixture fixture;
	char key[16];

	(void)state;
	begin(&fixture);
	put(&fixture.one, "stays", 1, NULL);
	for (int i = 0; i < 1010; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		put(&fixture.one, key, 5, NULL);
		change_quota(&fixture.one, THR_QUOTA_DELETE, key, NULL, NULL);
	}
	assert_int_equal(redis_number(&fixture.server, "ZCARD t:{sync}:log"), 1001);
	expect(&fixture.other, "stays", 1);
	expect(&fixture.other, "k1009", 0);
	end(&fixture);
}

static bool is_degraded(void *context)
{
	return thr_store_is_degraded(((struct test_store *)context)->store);
}

static void without_redis_what_is_known_is_told_and_nothing_changed(void **state)
{
	struct fixture fixture;
	struct thr_change change;

	(void)state;
	begin(&fixture);
	put(&fixture.one, "k", 5, NULL);
	server_end(&fixture.server);
	turn_until(&fixture.world, is_degraded, &fixture.one);
	change = change_quota(&fixture.one, THR_QUOTA_GET, "k", NULL, NULL);
	assert_int_equal(change.result, THR_CHANGE_DONE);
	assert_int_equal(change.quota.capacity, 5);
	assert_int_equal(change_quota(&fixture.one, THR_QUOTA_GET, "l", NULL, NULL).result,
			 THR_CHANGE_ABSENT);
	change = put(&fixture.one, "k", 6, NULL);
	assert_int_equal(change.result, THR_CHANGE_FAILED);
	assert_true(change.why[0]);
	change = change_quota(&fixture.one, THR_QUOTA_DELETE, "k", NULL, NULL);
	assert_int_equal(change.result, THR_CHANGE_FAILED);
	store_end(&fixture.one);
	store_end(&fixture.other);
	world_end(&fixture.world);
}

static bool is_alone(void *context)
{
	return ((struct test_store *)context)->counts.instances == 1;
}

static void an_instance_counts_while_it_lives(void **state)
{
	struct test_store worker;
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	/* Another worker of the same instance. */
	store_begin(&fixture.world, &worker, 2);
	store_use_redis(&worker, &fixture.server, 0, 0);
	wait_for_sync(&worker);
	wait_for_sync(&fixture.one);
	assert_int_equal(fixture.one.counts.instances, 2);
	store_end(&worker);
	store_use(&fixture.other, NULL);
	turn_until(&fixture.world, is_alone, &fixture.one);
	end(&fixture);
}

static void never_called(struct thr_change *change)
{
	(void)change;
	fail();
}

static void a_forgotten_change_may_go(void **state)
{
	struct thr_change change = {.kind = THR_QUOTA_PUT, .key = thr_text("k")};
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	change.quota = quota_of(5, 10);
	change.hash = thr_store_key_hash(fixture.one.store, change.key);
	change.done = never_called;
	assert_false(thr_store_change(fixture.one.store, &change));
	thr_store_forget(fixture.one.store, &change);
	memset(&change, 0xee, sizeof(change));
	expect(&fixture.one, "k", 5);
	end(&fixture);
}

static void other_settings_of_the_same_redis_keep_what_is_known(void **state)
{
	struct thr_quota found;
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	put(&fixture.one, "k", 5, NULL);
	store_use_redis(&fixture.one, &fixture.server, 999, 3);
	assert_true(find_quota(&fixture.one, "k", &found));
	put(&fixture.other, "k", 6, NULL);
	expect(&fixture.one, "k", 6);
	store_use(&fixture.one, NULL);
	assert_false(find_quota(&fixture.one, "k", &found));
	end(&fixture);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quota_reaches_the_other_instance_within_a_second),
		cmocka_unit_test(what_is_set_is_got_from_redis),
		cmocka_unit_test(the_default_is_for_keys_without_one),
		cmocka_unit_test(a_condition_is_judged_where_the_quota_is),
		cmocka_unit_test(there_are_no_more_quotas_than_may_be),
		cmocka_unit_test(how_many_there_are_is_told_once_all_were_read),
		cmocka_unit_test(what_is_set_is_listed_once_all_was_read),
		cmocka_unit_test(quotas_are_put_back_into_a_redis_that_lost_them),
		cmocka_unit_test(a_redis_that_fell_back_is_told_what_it_forgot),
		cmocka_unit_test(a_change_that_a_failover_lost_is_put_back_whatever_came_since),
		cmocka_unit_test(who_missed_removals_reads_all_anew),
		cmocka_unit_test(the_log_keeps_a_thousand_removals),
		cmocka_unit_test(without_redis_what_is_known_is_told_and_nothing_changed),
		cmocka_unit_test(an_instance_counts_while_it_lives),
		cmocka_unit_test(a_forgotten_change_may_go),
		cmocka_unit_test(other_settings_of_the_same_redis_keep_what_is_known),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
