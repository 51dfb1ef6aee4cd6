/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate beside exact buckets, on the same traffic: a source alone in its cell, many
 * that share cells, and one that is over its limit while a flood wants to evict it.
 * Who shares a cell on purpose is in a suite of its own. Seeds are fixed.
 */
#include <math.h>

#include "support/run.h"
#include "support/random.h"
#include "support/gate_model.h"

#define NOW (1000 * TICKS_PER_S)

/* From 0 to 1, neither of them. */
static double next_fraction(__u64 *random)
{
	return ((double)(next_random(random) >> 11) + 0.5) / (double)(1ULL << 53);
}

/* The time to the next of `per_s` arrivals a second that know nothing of each other. */
static __u64 next_gap(__u64 *random, double per_s)
{
	return (__u64)(-log(next_fraction(random)) * TICKS_PER_S / per_s);
}

/* --- a source alone in its cell --- */

static void source_alone_in_its_cell_gets_what_its_bucket_gives(void **state)
{
	__u64 random = 0x5eed0201;
	int passed = 0;

	(void)state;
	for (int round = 0; round < 400; round++) {
		struct thr_cell cell = {0};
		struct gate_source source = {.cell = &cell, .hash = next_random(&random)};
		__u64 rate = 1 + (next_random(&random) & ((2ULL << next_random(&random) % 30) - 1));
		__u64 bucket = 0, now = NOW;

		gate_model_limit(&source, rate, 1 + next_random(&random) % 100);
		for (int i = 0; i < 1000; i++) {
			double load = 0.5 + (double)(i / 250);
			__u64 wait;

			now += next_gap(&random, load * (double)rate);
			wait = thr_bucket_charge(&bucket, now, source.window, source.spent);
			assert_int_equal(gate_model_take(&source, now, NULL),
					 wait ? MODEL_OVER : MODEL_PASSED);
			assert_int_equal(cell.tat, bucket);
			passed += !wait;
		}
	}
	assert_in_range(passed, 100000, 300000);
}

static void refusal_says_when_it_ends(void **state)
{
	struct thr_cell cell = {0};
	struct gate_taking taking = {.now = NOW, .window = 500, .spent = 100};

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(gate_take(&cell, 7, &taking), GATE_PASSED);
	taking.now += 30;
	assert_int_equal(gate_take(&cell, 7, &taking), GATE_OVER);
	assert_int_equal(taking.wait, 70);
}

static void key_whose_hash_is_0_owns_its_cell_too(void **state)
{
	struct thr_cell cell = {0};
	struct gate_taking taking = {.now = NOW, .window = 100, .spent = 100};

	(void)state;
	assert_int_equal(gate_take(&cell, 0, &taking), GATE_PASSED);
	assert_int_equal(gate_take(&cell, 0, &taking), GATE_OVER);
}

/* --- many sources, few cells --- */

#define CROWD 3000
#define CROWD_CELLS 64

/* The number of a source: that of rank k comes about 1/k as often as the first. */
static int next_rank(__u64 *random)
{
	return (int)pow(CROWD, next_fraction(random)) - 1;
}

static void crowd_is_given(struct gate_source *crowd, struct thr_cell *cells, __u64 *random)
{
	static const __u64 rates[] = {1, 10, 10, 10, 50, 2000};
	static const __u64 bursts[] = {1, 2, 5, 20, 20, 100};

	for (int i = 0; i < CROWD; i++) {
		crowd[i] = (struct gate_source){.hash = next_random(random)};
		crowd[i].cell = &cells[crowd[i].hash % CROWD_CELLS];
		gate_model_limit(&crowd[i], rates[next_random(random) % ARRAY_SIZE(rates)],
				 bursts[next_random(random) % ARRAY_SIZE(bursts)]);
	}
}

static void nobody_in_a_crowd_gets_two_bursts_ahead(void **state)
{
	static struct gate_source crowd[CROWD];
	static struct thr_cell cells[CROWD_CELLS];
	__u64 random = 0x5eed0202, now = NOW;
	int beside = 0;

	(void)state;
	crowd_is_given(crowd, cells, &random);
	for (int i = 0; i < 2000000; i++) {
		struct gate_source *source = &crowd[next_rank(&random)];

		now += next_gap(&random, 5000);
		if (i % 100000 == 0) /* cells drain */
			now += TICKS_PER_S * 60;
		gate_model_take(source, now, NULL);
		assert_true(gate_model_excess(source, now) <= 2);
		beside += gate_model_excess(source, now) > 1;
	}
	assert_true(beside > 1000); /* some came past the bucket that they had alone */
}

/* Who offers no more than its limit is refused nothing, whatever the others do. */
static void innocent_is_refused_nothing_while_it_may_have_a_bucket(void **state)
{
	static struct gate_source crowd[CROWD];
	static struct thr_cell cells[CROWD_CELLS];
	__u64 random = 0x5eed0203, now = NOW, exact[CROWD] = {0};
	int conforming = 0;

	(void)state;
	crowd_is_given(crowd, cells, &random);
	for (int i = 0; i < 1000000; i++) {
		int rank = next_rank(&random);
		struct gate_source *source = &crowd[rank];
		bool is_innocent = exact[rank] <= now + source->window - source->spent;

		now += next_gap(&random, 5000);
		exact[rank] = (exact[rank] > now ? exact[rank] : now) + source->spent;
		if (!is_innocent)
			continue; /* its account says: ever more beyond its limit */
		assert_int_equal(gate_model_take(source, now, NULL), MODEL_PASSED);
		conforming++;
	}
	assert_in_range(conforming, 100000, 999999);
}

/* --- a table of own buckets that has an end --- */

#define TABLE 256

static struct table {
	struct gate_source *owner[TABLE];
	__u64 used[TABLE];
	__u64 budget; /* as thr_budgets[THR_BUDGET_PROMOTION] */
	int promoted, evicted;
} table;

/* As user/control/tables.c sets the budget: the table in a minute, 1/64 of it at once. */
static bool promote_into_table(struct gate_source *source, __u64 now)
{
	__u64 token = 60 * TICKS_PER_S / TABLE;
	int oldest = 0;

	if (thr_bucket_charge(&table.budget, now, (TABLE / 64 + 1) * token, token))
		return false;
	for (int i = 1; i < TABLE; i++)
		if (table.used[i] < table.used[oldest])
			oldest = i;
	if (table.owner[oldest]) {
		table.owner[oldest]->has_own = false;
		table.evicted++;
	}
	table.owner[oldest] = source;
	table.used[oldest] = now;
	table.promoted++;
	return true;
}

static void touch_table(const struct gate_source *source, __u64 now)
{
	for (int i = 0; i < TABLE; i++)
		if (table.owner[i] == source)
			table.used[i] = now;
}

#define SPOOFED 65536
#define SPOOFED_CELLS 1024

static void flood_does_not_wash_out_who_is_held_back(void **state)
{
	static struct gate_source spoofed[SPOOFED], loud;
	static struct thr_cell cells[SPOOFED_CELLS];
	__u64 random = 0x5eed0204, now = NOW, next_loud = NOW, start = 0;
	int passed = 0;

	(void)state;
	for (int i = 0; i < SPOOFED; i++) {
		spoofed[i].hash = next_random(&random);
		spoofed[i].cell = &cells[spoofed[i].hash % SPOOFED_CELLS];
		gate_model_limit(&spoofed[i], 10, 5);
	}
	loud = (struct gate_source){.hash = 1, .cell = &cells[1]};
	gate_model_limit(&loud, 10, 5);
	while (!start || now < start + 200 * TICKS_PER_S) {
		now += next_gap(&random, 20000); /* twice what the cells give */
		gate_model_take(&spoofed[next_random(&random) % SPOOFED], now, promote_into_table);
		if (now < next_loud)
			continue;
		next_loud += TICKS_PER_S / 100;
		passed += gate_model_take(&loud, now, promote_into_table) == MODEL_PASSED;
		touch_table(&loud, now);
		if (!start && loud.has_own) {
			start = now;
			passed = 0;
		}
	}
	print_message("# %d promoted, %d evicted, %d of 2000 passed\n", table.promoted,
		      table.evicted, passed);
	assert_true(table.evicted > TABLE);
	assert_true(loud.has_own);
	assert_in_range(passed, 1980, 2020);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(source_alone_in_its_cell_gets_what_its_bucket_gives),
		cmocka_unit_test(refusal_says_when_it_ends),
		cmocka_unit_test(key_whose_hash_is_0_owns_its_cell_too),
		cmocka_unit_test(nobody_in_a_crowd_gets_two_bursts_ahead),
		cmocka_unit_test(innocent_is_refused_nothing_while_it_may_have_a_bucket),
		cmocka_unit_test(flood_does_not_wash_out_who_is_held_back),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
