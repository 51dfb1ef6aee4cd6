/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The store's front on memory: takings, quotas, changes that somebody keeps, metrics. */
#include <stdlib.h>
#include <string.h>

#include "core/buffer.h"
#include "support/run.h"
#include "support/store.h"

struct fixture {
	struct test_world world;
	struct test_store store;
};

static void begin(struct fixture *fixture)
{
	world_begin(&fixture->world);
	store_begin(&fixture->world, &fixture->store, 1);
}

static void end(struct fixture *fixture)
{
	store_end(&fixture->store);
	world_end(&fixture->world);
}

/* What the master does with a change that was kept. */
static void put_in_table(struct fixture *fixture, const char *key, const struct thr_quota *quota)
{
	struct thr_hash hash = thr_store_key_hash(fixture->store.store, thr_text(key));

	assert_int_equal(thr_quotas_set(fixture->world.quotas, &hash, thr_text(key), quota), 0);
}

static void memory_answers_at_once(void **state)
{
	const struct thr_quota quota = quota_of(3, 0.001);
	struct fixture fixture;
	struct test_ask ask;

	(void)state;
	begin(&fixture);
	assert_false(thr_store_is_shared(fixture.store.store));
	for (int i = 0; i < 4; i++) {
		ask_for(&fixture.store, &ask, "k", &quota, 1);
		assert_true(ask.at_once);
		assert_false(ask.ask.degraded);
		assert_int_equal(ask.ask.standing.allowed, i < 3);
	}
	ask_for(&fixture.store, &ask, "k", &quota, 0);
	assert_false(ask.ask.standing.allowed);
	ask_for(&fixture.store, &ask, "l", &quota, 1);
	assert_true(ask.ask.standing.allowed);
	assert_int_equal(fixture.store.counts.allowed, 4);
	assert_int_equal(fixture.store.counts.denied, 1);
	thr_store_cancel(fixture.store.store, &ask.ask);
	assert_true(thr_store_is_ready(fixture.store.store));
	assert_false(thr_store_is_degraded(fixture.store.store));
	end(&fixture);
}

static void a_key_has_its_quota_or_the_default_or_the_files(void **state)
{
	const struct thr_quota own = quota_of(5, 1), general = quota_of(7, 1);
	struct thr_quota found;
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	assert_false(find_quota(&fixture.store, "k", &found));
	assert_int_equal(found.capacity, 100);
	put_in_table(&fixture, "k", &own);
	assert_true(find_quota(&fixture.store, "k", &found));
	assert_int_equal(found.capacity, 5);
	put_in_table(&fixture, THR_QUOTA_DEFAULT, &general);
	assert_false(find_quota(&fixture.store, "l", &found));
	assert_int_equal(found.capacity, 7);
	assert_true(find_quota(&fixture.store, "k", &found));
	assert_int_equal(found.capacity, 5);
	end(&fixture);
}

static void keys_of_one_limit_share_a_group(void **state)
{
	const struct thr_quota quota = quota_of(5, 1), other = quota_of(6, 1);
	struct thr_memory_key one, two, changed;
	struct fixture fixture;
	struct thr_hash hash;

	(void)state;
	begin(&fixture);
	hash = thr_store_key_hash(fixture.store.store, thr_text("k"));
	thr_store_check_key(fixture.store.store, &hash, &quota, &one);
	thr_store_check_key(fixture.store.store, &hash, &quota, &two);
	thr_store_check_key(fixture.store.store, &hash, &other, &changed);
	assert_memory_equal(&one, &two, sizeof(one));
	/* With another limit the key keeps its bucket, and shares with others. */
	assert_memory_equal(&one.key, &changed.key, sizeof(one.key));
	assert_memory_not_equal(&one.group[0], &changed.group[0], sizeof(one.group[0]));
	assert_memory_not_equal(&one.group[1], &changed.group[1], sizeof(one.group[1]));
	end(&fixture);
}

struct told {
	struct thr_change change;
	int times;
};

static void on_done(struct thr_change *change)
{
	THR_CONTAINER(change, struct told, change)->times++;
}

static struct told change_of(struct fixture *fixture, enum thr_change_kind kind, const char *key)
{
	struct told told = {.change = {.kind = kind, .key = thr_text(key), .done = on_done}};

	told.change.hash = thr_store_key_hash(fixture->store.store, told.change.key);
	told.change.quota = quota_of(9, 1);
	return told;
}

static void a_change_is_done_when_it_is_kept(void **state)
{
	struct fixture fixture;
	struct told put, delete;

	(void)state;
	begin(&fixture);
	put = change_of(&fixture, THR_QUOTA_PUT, "k");
	delete = change_of(&fixture, THR_QUOTA_DELETE, "l");
	assert_false(thr_store_change(fixture.store.store, &put.change));
	assert_ptr_equal(fixture.store.kept, &put.change);
	assert_false(thr_store_change(fixture.store.store, &delete.change));
	assert_ptr_equal(fixture.store.kept, &delete.change);
	assert_int_not_equal(put.change.number, delete.change.number);

	thr_store_changed(fixture.store.store, put.change.number, THR_CHANGE_CREATED, 17, "");
	assert_int_equal(put.times, 1);
	assert_int_equal(delete.times, 0);
	assert_int_equal(put.change.result, THR_CHANGE_CREATED);
	assert_int_equal(put.change.quota.version, 17);
	thr_store_changed(fixture.store.store, delete.change.number, THR_CHANGE_FAILED, 0,
			  "no room on the disk");
	assert_int_equal(delete.times, 1);
	assert_string_equal(delete.change.why, "no room on the disk");
	/* A number that was answered is nobody's. */
	thr_store_changed(fixture.store.store, put.change.number, THR_CHANGE_DONE, 18, "");
	assert_int_equal(put.times, 1);
	end(&fixture);
}

static void a_forgotten_change_is_not_called(void **state)
{
	struct fixture fixture;
	struct told told;
	uint64_t number;

	(void)state;
	begin(&fixture);
	told = change_of(&fixture, THR_QUOTA_PUT, "k");
	thr_store_forget(fixture.store.store, &told.change);
	assert_false(thr_store_change(fixture.store.store, &told.change));
	number = told.change.number;
	thr_store_forget(fixture.store.store, &told.change);
	thr_store_forget(fixture.store.store, &told.change);
	memset(&told.change.item, 0xee, sizeof(told.change.item));
	thr_store_changed(fixture.store.store, number, THR_CHANGE_CREATED, 1, "");
	assert_int_equal(told.times, 0);
	end(&fixture);
}

static void what_is_kept_is_found_by_number(void **state)
{
	struct fixture fixture;
	struct thr_store *store;
	struct told told[3];

	(void)state;
	begin(&fixture);
	store = fixture.store.store;
	assert_null(thr_store_kept_after(store, 0));
	for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
		told[i] = change_of(&fixture, THR_QUOTA_PUT, "k");
		assert_false(thr_store_change(store, &told[i].change));
		assert_int_equal(told[i].change.number, i + 1);
	}
	assert_ptr_equal(thr_store_kept_after(store, 0), &told[0].change);
	assert_ptr_equal(thr_store_kept_after(store, 1), &told[1].change);
	thr_store_forget(store, &told[1].change);
	assert_ptr_equal(thr_store_kept_after(store, 1), &told[2].change);
	assert_null(thr_store_kept_after(store, 3));
	thr_store_changed(store, 3, THR_CHANGE_CREATED, 1, "");
	assert_null(thr_store_kept_after(store, 1));
	thr_store_forget(store, &told[0].change);
	end(&fixture);
}

static void what_is_set_is_got_at_once(void **state)
{
	const struct thr_quota general = quota_of(7, 1);
	struct fixture fixture;
	struct told told;

	(void)state;
	begin(&fixture);
	told = change_of(&fixture, THR_QUOTA_GET, "k");
	put_in_table(&fixture, THR_QUOTA_DEFAULT, &general);
	assert_true(thr_store_change(fixture.store.store, &told.change));
	assert_int_equal(told.change.result, THR_CHANGE_ABSENT);
	told = change_of(&fixture, THR_QUOTA_GET, THR_QUOTA_DEFAULT);
	assert_true(thr_store_change(fixture.store.store, &told.change));
	assert_int_equal(told.change.result, THR_CHANGE_DONE);
	assert_int_equal(told.change.quota.capacity, 7);
	assert_int_equal(told.times, 0);
	end(&fixture);
}

/* --- metrics --- */

/* The metrics of two workers as text, which the caller frees. */
static char *metrics_of(const struct thr_store_counts counts[static 2],
			const struct thr_memory *buckets, bool shared)
{
	struct thr_buffer out = {0};
	struct thr_metrics metrics = {.out = &out};

	thr_store_write_metrics(counts, 2, buckets, shared, &metrics);
	assert_false(metrics.failed);
	assert_int_equal(thr_buffer_append(&out, "", 1), 0);
	assert_int_equal(out.start, 0);
	return out.at;
}

#define HAS(text, line) assert_non_null(strstr(text, "\n" line "\n"))

static void metrics_are_those_of_all_workers(void **state)
{
	struct thr_store_counts counts[2] = {
		{.allowed = 10,
		 .denied = 5,
		 .degraded_allowed = 2,
		 .degraded_denied = 1,
		 .known = 3,
		 .calls = 4,
		 .commands = 9,
		 .call_errors = 1,
		 .call_timeouts = 2,
		 .opened = 1,
		 .breaker = THR_BREAKER_OPEN,
		 .instances = 3,
		 .quotas = 8},
		{.allowed = 1, .instances = 2, .quotas = 9},
	};
	const struct thr_quota quota = quota_of(3, 0.001);
	struct fixture fixture;
	char *text;

	(void)state;
	begin(&fixture);
	take(&fixture.store, "k", &quota, 1);
	thr_histogram_add(&counts[1].call, 200000);
	text = metrics_of(counts, fixture.world.buckets, true);
	HAS(text, "xdp_throttle_store_takings_total{verdict=\"allowed\",degraded=\"false\"} 9");
	HAS(text, "xdp_throttle_store_takings_total{verdict=\"allowed\",degraded=\"true\"} 2");
	HAS(text, "xdp_throttle_store_takings_total{verdict=\"denied\",degraded=\"false\"} 4");
	HAS(text, "xdp_throttle_store_takings_total{verdict=\"denied\",degraded=\"true\"} 1");
	HAS(text, "xdp_throttle_store_known_takings_total 3");
	HAS(text, "xdp_throttle_store_calls_total 4");
	HAS(text, "xdp_throttle_store_commands_total 9");
	HAS(text, "xdp_throttle_store_call_errors_total{kind=\"error\"} 1");
	HAS(text, "xdp_throttle_store_call_errors_total{kind=\"timeout\"} 2");
	HAS(text, "xdp_throttle_store_call_duration_seconds_bucket{le=\"0.00025\"} 1");
	HAS(text, "xdp_throttle_store_call_duration_seconds_count 1");
	HAS(text, "xdp_throttle_store_breaker_state 2");
	HAS(text, "xdp_throttle_store_breaker_opened_total 1");
	HAS(text, "xdp_throttle_store_instances 3");
	HAS(text, "xdp_throttle_store_quotas 9");
	HAS(text, "xdp_throttle_memory_takings_total{place=\"own\"} 1");
	HAS(text, "xdp_throttle_memory_takings_total{place=\"none\"} 0");
	free(text);
	text = metrics_of(counts, fixture.world.buckets, false);
	assert_null(strstr(text, "breaker"));
	free(text);
	end(&fixture);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_answers_at_once),
		cmocka_unit_test(a_key_has_its_quota_or_the_default_or_the_files),
		cmocka_unit_test(keys_of_one_limit_share_a_group),
		cmocka_unit_test(a_change_is_done_when_it_is_kept),
		cmocka_unit_test(a_forgotten_change_is_not_called),
		cmocka_unit_test(what_is_kept_is_found_by_number),
		cmocka_unit_test(what_is_set_is_got_at_once),
		cmocka_unit_test(metrics_are_those_of_all_workers),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
