/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What workers know together of targets: set aside, tried, checked, counted. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proxy/target.h"
#include "support/run.h"

#define START_MS 1000
#define WORKERS 4
#define THREAD_ROUNDS 20000

static struct thr_target pair[] = {{"a", 80}, {"b", 80}};
static struct thr_target alone[] = {{"c", 80}};
static struct thr_route_config two_routes[] = {
	{.path = "/pair", .targets = pair, .target_count = 2},
	{.path = "/alone", .targets = alone, .target_count = 1},
};
enum { A, B, C };

static const struct thr_config config = {
	.upstream = {.max_failures = 3, .fail_timeout_ms = 10000},
	.routes = two_routes,
	.route_count = ARRAY_SIZE(two_routes),
};
static const struct thr_upstream_config *rules = &config.upstream;
static const struct thr_health_config health = {
	.path = "/health",
	.interval_ms = 5000,
	.healthy = 2,
	.unhealthy = 3,
};

static struct thr_targets *block(const struct thr_config *of)
{
	void *bytes = mmap(NULL, thr_targets_size(of, WORKERS), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct thr_targets *targets;

	assert_ptr_not_equal(bytes, MAP_FAILED);
	targets = thr_targets_new(bytes, of, WORKERS);
	assert_non_null(targets);
	return targets;
}

static int setup(void **state)
{
	*state = block(&config);
	return 0;
}

static int teardown(void **state)
{
	thr_targets_free(*state);
	return 0;
}

/* Fail so often that it is set aside. */
static void fail_often(struct thr_targets *targets, size_t target, uint64_t now_ms)
{
	for (uint32_t i = 1; i < rules->max_failures; i++)
		assert_false(thr_target_failed(targets, target, rules, now_ms));
	assert_true(thr_target_failed(targets, target, rules, now_ms));
}

static void check_down(struct thr_targets *targets, size_t target)
{
	for (uint32_t i = 1; i < health.unhealthy; i++)
		assert_false(thr_target_checked(targets, target, &health, false));
	assert_true(thr_target_checked(targets, target, &health, false));
}

static void failures_in_a_row_set_a_target_aside_for_its_time(void **state)
{
	struct thr_targets *targets = *state;

	assert_false(thr_target_failed(targets, A, rules, START_MS));
	assert_false(thr_target_failed(targets, A, rules, START_MS));
	assert_false(thr_target_succeeded(targets, A));
	assert_false(thr_target_failed(targets, A, rules, START_MS));
	assert_false(thr_target_failed(targets, A, rules, START_MS));
	assert_true(thr_target_is_available(targets, A, START_MS));
	assert_true(thr_target_failed(targets, A, rules, START_MS));
	assert_false(thr_target_is_available(targets, A, START_MS));
	assert_false(thr_target_is_available(targets, A, START_MS + 9999));
	assert_true(thr_target_is_available(targets, A, START_MS + 10000));
	assert_true(thr_target_is_available(targets, B, START_MS));
}

static void a_target_is_reported_as_set_aside_once(void **state)
{
	struct thr_targets *targets = *state;

	fail_often(targets, A, START_MS);
	assert_false(thr_target_failed(targets, A, rules, START_MS));
	assert_true(thr_target_succeeded(targets, A));
	assert_false(thr_target_succeeded(targets, A));
	assert_true(thr_target_is_available(targets, A, START_MS));
	fail_often(targets, A, START_MS);
}

static void one_request_tries_a_target_when_its_time_is_over(void **state)
{
	struct thr_targets *targets = *state;
	uint64_t over_ms = START_MS + 10000;

	assert_true(thr_target_try(targets, A, START_MS));
	assert_true(thr_target_try(targets, A, START_MS));
	fail_often(targets, A, START_MS);
	assert_false(thr_target_try(targets, A, over_ms - 1));
	assert_true(thr_target_try(targets, A, over_ms));
	assert_false(thr_target_try(targets, A, over_ms));
	assert_false(thr_target_is_available(targets, A, over_ms + 9999));
	assert_true(thr_target_is_available(targets, A, over_ms + 10000));
}

static void a_trial_that_fails_sets_aside_again_and_one_that_succeeds_takes_back(void **state)
{
	struct thr_targets *targets = *state;
	uint64_t over_ms = START_MS + 10000;

	fail_often(targets, A, START_MS);
	assert_true(thr_target_try(targets, A, over_ms));
	assert_false(thr_target_failed(targets, A, rules, over_ms + 5000));
	assert_false(thr_target_is_available(targets, A, over_ms + 14999));
	assert_true(thr_target_try(targets, A, over_ms + 15000));
	assert_true(thr_target_succeeded(targets, A));
	assert_true(thr_target_is_available(targets, A, over_ms + 15000));
	assert_false(thr_target_failed(targets, A, rules, over_ms + 15000));
}

static void the_only_target_of_a_route_is_set_aside_by_checks_alone(void **state)
{
	struct thr_targets *targets = *state;

	for (int i = 0; i < 10; i++)
		assert_false(thr_target_failed(targets, C, rules, START_MS));
	assert_true(thr_target_is_available(targets, C, START_MS));
	check_down(targets, C);
	assert_false(thr_target_is_available(targets, C, START_MS));
}

static void without_a_maximum_no_failure_counts(void **state)
{
	struct thr_targets *targets = *state;
	struct thr_upstream_config never = {.max_failures = 0, .fail_timeout_ms = 10000};

	for (int i = 0; i < 10; i++)
		assert_false(thr_target_failed(targets, A, &never, START_MS));
	assert_true(thr_target_is_available(targets, A, START_MS));
}

static void checks_in_a_row_change_what_a_target_is_taken_for(void **state)
{
	struct thr_targets *targets = *state;

	assert_false(thr_target_checked(targets, A, &health, true));
	assert_false(thr_target_checked(targets, A, &health, false));
	assert_false(thr_target_checked(targets, A, &health, false));
	assert_false(thr_target_checked(targets, A, &health, true));
	check_down(targets, A);
	assert_false(thr_target_is_available(targets, A, START_MS));
	assert_false(thr_target_checked(targets, A, &health, false));
	assert_false(thr_target_checked(targets, A, &health, true));
	assert_false(thr_target_checked(targets, A, &health, false));
	assert_false(thr_target_checked(targets, A, &health, true));
	assert_false(thr_target_is_available(targets, A, START_MS));
	assert_true(thr_target_checked(targets, A, &health, true));
	assert_true(thr_target_is_available(targets, A, START_MS));
}

static void failures_count_beside_checks_that_pass(void **state)
{
	struct thr_targets *targets = *state;

	fail_often(targets, A, START_MS);
	for (int i = 0; i < 5; i++)
		assert_false(thr_target_checked(targets, A, &health, true));
	assert_false(thr_target_is_available(targets, A, START_MS));
}

static void a_target_that_checks_take_back_is_available_at_once(void **state)
{
	fail_often(*state, A, START_MS);
	check_down(*state, A);
	assert_false(thr_target_checked(*state, A, &health, true));
	assert_false(thr_target_is_available(*state, A, START_MS));
	assert_true(thr_target_checked(*state, A, &health, true));
	assert_true(thr_target_is_available(*state, A, START_MS));
}

static void a_check_is_due_at_once_and_then_every_interval(void **state)
{
	struct thr_targets *targets = *state;

	assert_true(thr_target_check_is_due(targets, A, &health, START_MS));
	assert_false(thr_target_check_is_due(targets, A, &health, START_MS));
	assert_false(thr_target_check_is_due(targets, A, &health, START_MS + 4999));
	assert_true(thr_target_check_is_due(targets, B, &health, START_MS + 4999));
	assert_true(thr_target_check_is_due(targets, A, &health, START_MS + 5000));
	assert_true(thr_target_check_is_due(targets, A, &health, START_MS + 60000));
	assert_false(thr_target_check_is_due(targets, A, &health, START_MS + 64999));
}

static void requests_in_flight_are_counted_over_all_workers(void **state)
{
	struct thr_targets *targets = *state;

	thr_target_begin(targets, A, 0);
	thr_target_begin(targets, A, 3);
	thr_target_begin(targets, A, 3);
	thr_target_begin(targets, C, 3);
	assert_int_equal(thr_target_busy(targets, A), 3);
	assert_int_equal(thr_target_busy(targets, B), 0);
	assert_int_equal(thr_target_busy(targets, C), 1);
	thr_target_end(targets, A, 0);
	assert_int_equal(thr_target_busy(targets, A), 2);
	thr_target_begin(targets, B, 1);
	thr_targets_forget_worker(targets, 3);
	assert_int_equal(thr_target_busy(targets, A), 0);
	assert_int_equal(thr_target_busy(targets, B), 1);
	assert_int_equal(thr_target_busy(targets, C), 0);
}

/* --- workers at once --- */

struct worker {
	pthread_t thread;
	struct thr_targets *targets;
	unsigned int number;
	unsigned int told;  /* to check */
	unsigned int tries; /* it got */
	unsigned int aside; /* it was told that it set one aside */
};

/* Time goes on by one interval every 100 rounds, the same for every worker. */
static void *work(void *argument)
{
	struct worker *worker = argument;
	struct thr_targets *targets = worker->targets;

	for (uint64_t round = 0; round < THREAD_ROUNDS; round++) {
		uint64_t now_ms = START_MS + round / 100 * health.interval_ms;

		thr_target_begin(targets, A, worker->number);
		thr_target_begin(targets, B, worker->number);
		worker->told += thr_target_check_is_due(targets, A, &health, now_ms);
		worker->tries += thr_target_try(targets, B, START_MS + rules->fail_timeout_ms);
		worker->aside += thr_target_failed(targets, A, rules, START_MS);
		thr_target_end(targets, A, worker->number);
	}
	return NULL;
}

static void of_workers_at_once_one_is_told_and_none_is_miscounted(void **state)
{
	struct thr_targets *targets = *state;
	struct worker workers[WORKERS] = {0};
	unsigned int told = 0, tries = 0, aside = 0;

	fail_often(targets, B, START_MS);
	for (unsigned int i = 0; i < WORKERS; i++) {
		workers[i].targets = targets;
		workers[i].number = i;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		told += workers[i].told;
		tries += workers[i].tries;
		aside += workers[i].aside;
	}
	assert_int_equal(aside, 1);
	assert_int_equal(tries, 1);
	/* A worker that is behind finds the next check in its future: none is due twice. */
	assert_in_range(told, 1, THREAD_ROUNDS / 100);
	assert_int_equal(thr_target_busy(targets, A), 0);
	assert_int_equal(thr_target_busy(targets, B), WORKERS * THREAD_ROUNDS);
}

/* --- from one configuration to the next --- */

static void what_is_known_of_targets_outlives_a_reload(void **state)
{
	struct thr_target more[] = {{"new", 80}, {"b", 80}, {"a", 81}, {"a", 80}};
	struct thr_target pair_again[] = {{"a", 80}, {"b", 80}};
	struct thr_route_config routes[] = {
		{.path = "/pair/other", .targets = pair_again, .target_count = 2},
		{.path = "/pair", .targets = more, .target_count = 4},
	};
	struct thr_config next = {.routes = routes, .route_count = ARRAY_SIZE(routes)};
	struct thr_targets *old = *state, *targets = block(&next);

	fail_often(old, A, START_MS);
	assert_false(thr_target_failed(old, B, rules, START_MS));
	assert_false(thr_target_failed(old, B, rules, START_MS));
	thr_target_begin(old, B, 0);
	thr_targets_inherit(targets, &next, old, &config);
	for (size_t i = 0; i < 5; i++)
		assert_true(thr_target_is_available(targets, i, START_MS));
	assert_false(thr_target_is_available(targets, 5, START_MS));
	assert_true(thr_target_is_available(targets, 5, START_MS + 10000));
	assert_true(thr_target_failed(targets, 3, rules, START_MS));
	assert_int_equal(thr_target_busy(targets, 3), 0);
	thr_targets_free(targets);
}

static void a_target_that_becomes_the_only_one_is_not_set_aside(void **state)
{
	struct thr_target one[] = {{"a", 80}};
	struct thr_route_config routes[] = {{.path = "/pair", .targets = one, .target_count = 1}};
	struct thr_config next = {.routes = routes, .route_count = 1};
	struct thr_targets *targets = block(&next);

	fail_often(*state, A, START_MS);
	thr_targets_inherit(targets, &next, *state, &config);
	assert_true(thr_target_is_available(targets, 0, START_MS));
	thr_targets_free(targets);
}

static void what_checks_found_is_kept_where_both_check(void **state)
{
	static const struct {
		bool before, after, kept;
	} cases[] = {{true, true, true}, {true, false, false}, {false, true, false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_route_config before[] = {two_routes[0]}, after[] = {two_routes[0]};
		struct thr_config last = {.routes = before, .route_count = 1};
		struct thr_config next = {.routes = after, .route_count = 1};
		struct thr_targets *old = block(&last), *targets = block(&next);

		if (cases[i].before)
			before[0].health = health;
		if (cases[i].after)
			after[0].health = health;
		check_down(old, A);
		assert_true(thr_target_check_is_due(old, A, &health, START_MS));
		thr_targets_inherit(targets, &next, old, &last);
		assert_int_equal(thr_target_is_available(targets, A, START_MS), !cases[i].kept);
		assert_true(thr_target_is_available(targets, B, START_MS));
		assert_true(thr_target_check_is_due(targets, A, &health, START_MS));
		thr_targets_free(old);
		thr_targets_free(targets);
	}
}

static void a_configuration_without_routes_has_a_block_too(void **state)
{
	struct thr_config none = {0};
	struct thr_targets *targets = block(&none);

	thr_targets_inherit(targets, &none, *state, &config);
	thr_targets_inherit(*state, &config, targets, &none);
	thr_targets_forget_worker(targets, 0);
	thr_targets_free(targets);
}

/* --- a worker in a stranger's hands --- */

static void no_content_of_the_block_leads_a_process_astray(void **state)
{
	static const unsigned char junk[] = {0xff, 0x41, 0x01, 0x80};
	size_t size = thr_targets_size(&config, WORKERS);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(junk); i++) {
		void *bytes =
			mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		struct thr_targets *old = thr_targets_new(bytes, &config, WORKERS);
		struct thr_targets *targets = block(&config);

		memset(bytes, junk[i], size);
		thr_targets_inherit(targets, &config, old, &config);
		thr_targets_forget_worker(old, WORKERS - 1);
		assert_true(thr_target_is_available(targets, C, START_MS));
		for (size_t target = A; target <= C; target++) {
			thr_target_is_available(old, target, START_MS);
			thr_target_try(old, target, START_MS);
			thr_target_failed(old, target, rules, START_MS);
			thr_target_checked(old, target, &health, true);
			thr_target_end(old, target, WORKERS - 1);
			thr_target_begin(old, target, WORKERS - 1);
			thr_target_end(old, target, WORKERS - 1);
			thr_target_succeeded(old, target);
			assert_int_equal(thr_target_busy(targets, target), 0);
		}
		thr_targets_free(old);
		thr_targets_free(targets);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(failures_in_a_row_set_a_target_aside_for_its_time),
		TEST(a_target_is_reported_as_set_aside_once),
		TEST(one_request_tries_a_target_when_its_time_is_over),
		TEST(a_trial_that_fails_sets_aside_again_and_one_that_succeeds_takes_back),
		TEST(the_only_target_of_a_route_is_set_aside_by_checks_alone),
		TEST(without_a_maximum_no_failure_counts),
		TEST(checks_in_a_row_change_what_a_target_is_taken_for),
		TEST(failures_count_beside_checks_that_pass),
		TEST(a_target_that_checks_take_back_is_available_at_once),
		TEST(a_check_is_due_at_once_and_then_every_interval),
		TEST(requests_in_flight_are_counted_over_all_workers),
		TEST(of_workers_at_once_one_is_told_and_none_is_miscounted),
		TEST(what_is_known_of_targets_outlives_a_reload),
		TEST(a_target_that_becomes_the_only_one_is_not_set_aside),
		TEST(what_checks_found_is_kept_where_both_check),
		TEST(a_configuration_without_routes_has_a_block_too),
		TEST(no_content_of_the_block_leads_a_process_astray),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
