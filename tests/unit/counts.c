/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is counted of routes, in memory that workers share. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/metrics.h"
#include "proxy/counts.h"
#include "support/run.h"

#define WORKERS 3
#define THREADS 4
#define OWN_SLOTS 2000 /* paths that are promised one */
#define PATHS 10000

static int setup(void **state)
{
	*state = calloc(1, thr_route_counts_size(WORKERS));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static unsigned int slot_of(void *block, unsigned int number)
{
	char path[32];

	snprintf(path, sizeof(path), "/route/%u", number);
	return thr_route_counts_slot(block, thr_text(path));
}

static void a_path_has_one_slot_of_its_own(void **state)
{
	bool taken[THR_ROUTE_SLOTS] = {false};
	unsigned int slots[OWN_SLOTS];

	for (unsigned int i = 0; i < OWN_SLOTS; i++) {
		slots[i] = slot_of(*state, i);
		assert_in_range(slots[i], 1, THR_ROUTE_SLOTS - 1);
		assert_false(taken[slots[i]]);
		taken[slots[i]] = true;
	}
	for (unsigned int i = 0; i < OWN_SLOTS; i++)
		assert_int_equal(slot_of(*state, i), slots[i]);
}

static void paths_beyond_the_table_share_slot_0_and_others_keep_theirs(void **state)
{
	bool taken[THR_ROUTE_SLOTS] = {false};
	unsigned int slots[PATHS], own = 0;

	for (unsigned int i = 0; i < PATHS; i++) {
		slots[i] = slot_of(*state, i);
		assert_true(!slots[i] || !taken[slots[i]]);
		taken[slots[i]] = true;
		own += slots[i] > 0;
	}
	assert_true(own > THR_ROUTE_SLOTS * 9 / 10);
	for (unsigned int i = 0; i < PATHS; i++)
		assert_int_equal(slot_of(*state, i), slots[i]);
}

struct claimer {
	pthread_t thread;
	void *block;
	pthread_barrier_t *barrier;
	unsigned int slots[OWN_SLOTS];
};

static void *claim_all(void *context)
{
	struct claimer *claimer = context;

	pthread_barrier_wait(claimer->barrier);
	for (unsigned int i = 0; i < OWN_SLOTS; i++)
		claimer->slots[i] = slot_of(claimer->block, i);
	return NULL;
}

static void workers_that_claim_at_once_agree(void **state)
{
	static struct claimer claimers[THREADS];
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (unsigned int i = 0; i < THREADS; i++) {
		claimers[i].block = *state;
		claimers[i].barrier = &barrier;
		assert_int_equal(pthread_create(&claimers[i].thread, NULL, claim_all, &claimers[i]),
				 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(claimers[i].thread, NULL);
	for (unsigned int i = 1; i < THREADS; i++)
		assert_memory_equal(claimers[i].slots, claimers[0].slots,
				    sizeof(claimers[0].slots));
	pthread_barrier_destroy(&barrier);
}

static void counts_of_workers_add_up_by_status_and_verdict(void **state)
{
	static const struct {
		unsigned int worker, status;
		enum thr_access_verdict verdict;
		uint64_t duration_ns;
	} requests[] = {
		{0, 200, THR_VERDICT_ALLOWED, 1000}, {1, 204, THR_VERDICT_ALLOWED, 1000},
		{2, 429, THR_VERDICT_LIMITED, 0},    {2, 404, THR_VERDICT_NONE, 0},
		{1, 0, THR_VERDICT_NONE, 700000},    {0, 101, THR_VERDICT_ALLOWED, 20000000000},
		{0, 999, THR_VERDICT_NONE, 0}, /* no status: counted as none */
	};
	struct thr_route_counts sum;
	unsigned int slot = slot_of(*state, 1);

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		const struct thr_access access = {.status = requests[i].status,
						  .verdict = requests[i].verdict,
						  .duration_ns = requests[i].duration_ns};

		thr_route_counts_add(thr_route_counts_of(*state, requests[i].worker, slot),
				     &access);
	}
	thr_route_counts_sum(*state, WORKERS, slot, &sum);
	assert_int_equal(sum.requests[2][THR_VERDICT_ALLOWED], 2);
	assert_int_equal(sum.requests[4][THR_VERDICT_LIMITED], 1);
	assert_int_equal(sum.requests[4][THR_VERDICT_NONE], 1);
	assert_int_equal(sum.requests[0][THR_VERDICT_NONE], 2);
	assert_int_equal(sum.requests[1][THR_VERDICT_ALLOWED], 1);
	assert_int_equal(sum.duration.bucket[0], 5);
	assert_int_equal(sum.duration.bucket[thr_histogram_find(700000)], 1);
	assert_int_equal(sum.duration.bucket[THR_HISTOGRAM_BOUNDS], 1);
	assert_int_equal(sum.duration.sum_ns, 20000702000);

	thr_route_counts_sum(*state, WORKERS, slot_of(*state, 2), &sum);
	assert_int_equal(sum.requests[2][THR_VERDICT_ALLOWED], 0);
}

static void columns_do_not_meet_and_end_with_the_block(void **state)
{
	char *block = *state;
	char *last = (char *)(thr_route_counts_of(block, WORKERS - 1, THR_ROUTE_SLOTS - 1) + 1);

	for (unsigned int worker = 0; worker < WORKERS; worker++) {
		char *first = (char *)thr_route_counts_of(block, worker, 0);
		char *end = (char *)(thr_route_counts_of(block, worker, THR_ROUTE_SLOTS - 1) + 1);

		assert_int_equal((first - block) % 128, 0);
		if (worker + 1 < WORKERS)
			assert_true(end <= (char *)thr_route_counts_of(block, worker + 1, 0));
	}
	assert_true(last <= block + thr_route_counts_size(WORKERS));
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_path_has_one_slot_of_its_own),
		TEST(paths_beyond_the_table_share_slot_0_and_others_keep_theirs),
		TEST(workers_that_claim_at_once_agree),
		TEST(counts_of_workers_add_up_by_status_and_verdict),
		TEST(columns_do_not_meet_and_end_with_the_block),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
