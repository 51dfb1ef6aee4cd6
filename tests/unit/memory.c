/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of buckets as one caller sees it: limits, looks, and a table that is full. */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "core/cleanup.h"
#include "store/memory.h"
#include "support/random.h"
#include "support/run.h"
#include "thr_bucket.h"

#define S 1000000000ULL
#define MS 1000000ULL
#define NOW (1000 * S)

static struct thr_store_limit limit_of(uint64_t count, uint32_t per_s, uint64_t burst)
{
	struct thr_rate rate = {.count = count, .per_s = per_s, .burst = burst};

	assert_int_equal(thr_rate_check(&rate), 0);
	return thr_store_limit_of(&rate);
}

static struct thr_memory *memory_of(uint64_t max_keys)
{
	struct thr_memory *memory;

	assert_int_equal(thr_memory_new(max_keys, &memory), 0);
	return memory;
}

/* Key `n` of the groups `group` and `group2`; 0: a group of its own. */
static struct thr_memory_key key_of(const struct thr_memory *memory, uint64_t n, uint64_t group,
				    uint64_t group2)
{
	const struct thr_hash_key *secret = thr_memory_hash_key(memory);
	uint64_t names[3][2] = {{1, n}, {2, group ? group : ~n}, {3, group2 ? group2 : ~n}};

	return (struct thr_memory_key){
		.key = thr_hash(secret, names[0], sizeof(names[0])),
		.group = {thr_hash(secret, names[1], sizeof(names[1])),
			  thr_hash(secret, names[2], sizeof(names[2]))},
	};
}

/* --- limits --- */

static void a_limit_is_kept_in_the_units_of_a_bucket(void **state)
{
	struct thr_store_limit limit = limit_of(300, 60, 7);

	(void)state;
	assert_int_equal(limit.interval, 200 * MS << THR_INTERVAL_SHIFT);
	assert_int_equal(limit.window, 1400 * MS << THR_TICK_SHIFT);
	assert_int_equal(limit.window_ns, 1400 * MS);
	assert_int_equal(limit.burst, 7);
	assert_int_equal(limit.count, 300);
	assert_int_equal(limit.per_s, 60);
	/* A third of a second does not end in ns; three of them are a second. */
	assert_int_equal(limit_of(3, 1, 3).window_ns, S);
	assert_int_equal(limit_of(3, 1, 1).window_ns, 333333334);
}

static void a_standing_says_what_is_left_and_when(void **state)
{
	struct thr_memory *memory = memory_of(100);
	struct thr_memory_key key = key_of(memory, 1, 0, 0);
	struct thr_store_limit limit = limit_of(50, 1, 100);
	struct thr_standing is;

	(void)state;
	assert_int_equal(thr_memory_take(memory, &key, &limit, 30, NOW, &is), THR_PLACE_OWN);
	assert_true(is.allowed);
	assert_int_equal(is.limit, 100);
	assert_int_equal(is.window_ns, 2 * S);
	assert_int_equal(is.remaining, 70);
	assert_int_equal(is.reset_ns, 600 * MS);
	assert_int_equal(is.retry_ns, 0);

	thr_memory_take(memory, &key, &limit, 71, NOW, &is);
	assert_false(is.allowed);
	assert_int_equal(is.remaining, 70);
	assert_int_equal(is.reset_ns, 600 * MS);
	assert_int_equal(is.retry_ns, 20 * MS);

	thr_memory_take(memory, &key, &limit, 71, NOW + 20 * MS, &is);
	assert_true(is.allowed);
	assert_int_equal(is.remaining, 0);
	assert_int_equal(is.reset_ns, 2 * S);
	thr_memory_free(memory);
}

static void a_cost_over_the_burst_never_conforms_and_takes_nothing(void **state)
{
	struct thr_memory *memory = memory_of(100);
	struct thr_memory_key key = key_of(memory, 1, 0, 0);
	struct thr_store_limit limit = limit_of(50, 1, 100);
	struct thr_standing is;

	(void)state;
	thr_memory_take(memory, &key, &limit, 101, NOW, &is);
	assert_false(is.allowed);
	assert_int_equal(is.retry_ns, UINT64_MAX);
	assert_int_equal(is.remaining, 100);
	thr_memory_take(memory, &key, &limit, UINT64_MAX, NOW, &is);
	assert_false(is.allowed);
	thr_memory_take(memory, &key, &limit, 100, NOW, &is);
	assert_true(is.allowed);
	thr_memory_free(memory);
}

static void a_look_takes_nothing_and_is_not_counted(void **state)
{
	struct thr_memory *memory = memory_of(100);
	struct thr_memory_key key = key_of(memory, 1, 0, 0);
	struct thr_store_limit limit = limit_of(10, 1, 2);
	struct thr_memory_counts counts;
	struct thr_standing is;

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(thr_memory_take(memory, &key, &limit, 0, NOW, &is), THR_PLACE_OWN);
		assert_true(is.allowed);
		assert_int_equal(is.remaining, 2);
		assert_int_equal(is.reset_ns, 0);
	}
	thr_memory_take(memory, &key, &limit, 2, NOW, &is);
	for (int i = 0; i < 10; i++) {
		thr_memory_take(memory, &key, &limit, 0, NOW + 60 * MS, &is);
		assert_false(is.allowed);
		assert_int_equal(is.retry_ns, 40 * MS);
		assert_int_equal(is.reset_ns, 140 * MS);
	}
	thr_memory_count(memory, &counts);
	assert_int_equal(counts.own, 1);
	assert_int_equal(counts.group + counts.group2 + counts.none, 0);
	thr_memory_free(memory);
}

/* Against a bucket alone, which has tests of its own. */
static void takings_agree_with_a_bucket(void **state)
{
	struct thr_memory *memory = memory_of(1000);
	__u64 random = 0x5eed0200;

	(void)state;
	for (uint64_t round = 1; round < 300; round++) {
		struct thr_store_limit limit =
			limit_of(1 + next_random(&random) % 5000, next_random(&random) % 2 ? 1 : 60,
				 1 + next_random(&random) % 300);
		struct thr_memory_key key = key_of(memory, round, 0, 0);
		uint64_t now_ns = NOW + round * 3600 * S;
		__u64 bucket = 0;

		for (int step = 0; step < 300; step++) {
			uint64_t cost = 1 + next_random(&random) % (1 + limit.burst / 3), held, now;
			uint64_t wait;
			struct thr_standing is;

			now_ns += next_random(&random) % (limit.window_ns / limit.burst * 2 + 2);
			now = now_ns << THR_TICK_SHIFT;
			wait = thr_bucket_charge(&bucket, now, limit.window,
						 thr_bucket_ticks(limit.interval, cost));
			thr_memory_take(memory, &key, &limit, cost, now_ns, &is);
			assert_int_equal(is.allowed, !wait);
			assert_int_equal(is.retry_ns, (wait + 15) / 16);
			held = limit.window - (bucket > now ? bucket - now : 0);
			assert_int_equal(is.reset_ns, (limit.window - held + 15) / 16);
			assert_true(thr_bucket_ticks(limit.interval, is.remaining) <= held);
			assert_true(thr_bucket_ticks(limit.interval, is.remaining + 1) > held);
		}
	}
	thr_memory_free(memory);
}

/* --- a full table --- */

#define LEAST_CELLS 64 /* of the smallest table, and of its groups' */

static void the_table_has_an_eighth_more_cells_than_keys(void **state)
{
	static const struct {
		uint64_t keys, cells;
	} cases[] = {
		{1, 2 * LEAST_CELLS},
		{56, 2 * LEAST_CELLS},
		{1000, 1128 + 72}, /* 1125 in whole lines, and 70.5 */
		{1000000, 1125000 + 70312},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_memory *memory = memory_of(cases[i].keys);

		assert_int_equal(thr_memory_cells(memory), cases[i].cells);
		thr_memory_free(memory);
	}
	thr_memory_free(NULL);
}

/* Keys of a bucket each, by a limit whose buckets are full again after an hour. */
static void use_keys(struct thr_memory *memory, uint64_t keys)
{
	struct thr_store_limit limit = limit_of(1, 3600, 1);

	for (uint64_t n = 1; n <= keys; n++) {
		struct thr_memory_key key = key_of(memory, n, 0, 0);
		struct thr_standing is;

		thr_memory_take(memory, &key, &limit, 1, NOW, &is);
	}
}

static void cells_are_in_use_until_their_bucket_is_full_again(void **state)
{
	struct thr_memory *memory = memory_of(1000);

	(void)state;
	assert_int_equal(thr_memory_used(memory, NOW), 0);
	use_keys(memory, 300);
	assert_int_equal(thr_memory_used(memory, NOW), 300);
	assert_int_equal(thr_memory_used(memory, NOW + 3600 * S), 300);
	assert_int_equal(thr_memory_used(memory, NOW + 3600 * S + 50 * MS), 0);
	thr_memory_free(memory);
}

static void use_of_a_large_table_is_known_to_a_hundredth_of_it(void **state)
{
	const uint64_t keys = 1000000, used = 300000;
	struct thr_memory *memory = memory_of(keys);

	(void)state;
	use_keys(memory, used);
	assert_in_range(thr_memory_used(memory, NOW), used - keys / 100, used + keys / 100);
	thr_memory_free(memory);
}

static void nearly_as_many_keys_as_promised_have_buckets_of_their_own(void **state)
{
	const uint64_t keys = 100000;
	struct thr_memory *memory = memory_of(keys);
	struct thr_store_limit limit = limit_of(1, 3600, 1);
	struct thr_memory_counts counts;

	(void)state;
	for (uint64_t n = 1; n <= keys; n++) {
		struct thr_memory_key key = key_of(memory, n, 0, 0);
		struct thr_standing is;

		thr_memory_take(memory, &key, &limit, 1, NOW, &is);
		assert_true(is.allowed);
		if (n == keys / 4 * 3) {
			thr_memory_count(memory, &counts);
			assert_true(counts.own > n - 60); /* all but 0.02 %, mostly none */
		}
	}
	thr_memory_count(memory, &counts);
	assert_true(counts.own > keys / 100 * 99);
	assert_int_equal(counts.own + counts.group, keys);
	/* And each of them is remembered. */
	for (uint64_t n = 1; n <= keys; n++) {
		struct thr_memory_key key = key_of(memory, n, 0, 0);
		struct thr_standing is;

		thr_memory_take(memory, &key, &limit, 1, NOW + S, &is);
		assert_false(is.allowed);
	}
	thr_memory_free(memory);
}

/* Fill the smallest table with keys in debt; returns the first that is not in it. */
static uint64_t fill(struct thr_memory *memory, const struct thr_store_limit *limit,
		     uint64_t now_ns)
{
	uint64_t n = 1000, cells = 0;

	while (cells < LEAST_CELLS) {
		struct thr_memory_key key = key_of(memory, n++, 1000, 1000);
		struct thr_standing is;

		cells += thr_memory_take(memory, &key, limit, 1, now_ns, &is) == THR_PLACE_OWN;
	}
	return n;
}

static void a_full_table_shares_a_bucket_by_group_then_by_second_group_then_refuses(void **state)
{
	struct thr_memory *memory = memory_of(1);
	struct thr_store_limit debt = limit_of(1, 3600, 1), limit = limit_of(1, 60, 10);
	uint64_t allowed = 0, n = fill(memory, &debt, NOW);
	enum thr_memory_place place = THR_PLACE_GROUP;
	struct thr_memory_counts before, counts;
	struct thr_standing is;

	(void)state;
	thr_memory_count(memory, &before);
	assert_int_equal(before.own, LEAST_CELLS);

	/* 100 clients of one prefix get together what one would. */
	for (int i = 0; i < 100; i++) {
		struct thr_memory_key key = key_of(memory, n++, 7, 8);

		assert_int_equal(thr_memory_take(memory, &key, &limit, 1, NOW, &is),
				 THR_PLACE_GROUP);
		allowed += is.allowed;
	}
	assert_int_equal(allowed, 10);
	thr_memory_count(memory, &counts);
	assert_int_equal(counts.group - before.group, 100);

	/* Many prefixes use up the groups' cells; then the second group is shared, here
	 * one that has a bucket, which is used up. */
	while (place == THR_PLACE_GROUP) {
		struct thr_memory_key key = key_of(memory, n, n, 0);

		key.group[1] = key_of(memory, 0, 7, 0).group[0];
		place = thr_memory_take(memory, &key, &limit, 1, NOW, &is);
		n++;
	}
	assert_int_equal(place, THR_PLACE_GROUP2);
	assert_false(is.allowed);

	while (place != THR_PLACE_NONE) {
		struct thr_memory_key key = key_of(memory, n++, 0, 0);

		place = thr_memory_take(memory, &key, &limit, 1, NOW, &is);
	}
	assert_int_equal(place, THR_PLACE_NONE);
	assert_false(is.allowed);
	assert_int_equal(is.remaining, 0);
	assert_in_range(is.retry_ns, 3600 * S, 3600 * S + 100 * MS);
	thr_memory_count(memory, &counts);
	assert_int_equal(counts.none, 1);
	thr_memory_free(memory);
}

static void a_refusal_without_a_bucket_says_when_one_can_be_had(void **state)
{
	struct thr_memory *memory = memory_of(1);
	struct thr_store_limit limit = limit_of(1, 60, 1);
	struct thr_memory_key key = {0};
	struct thr_standing is;
	uint64_t n = 1;

	(void)state;
	do
		key = key_of(memory, n++, 0, 0);
	while (thr_memory_take(memory, &key, &limit, 1, NOW + n * MS, &is) != THR_PLACE_NONE);
	assert_false(is.allowed);
	assert_int_equal(thr_memory_take(memory, &key, &limit, 1, NOW + n * MS + is.retry_ns, &is),
			 THR_PLACE_OWN);
	assert_true(is.allowed);
	thr_memory_free(memory);
}

static void a_client_in_debt_is_never_forgotten(void **state)
{
	struct thr_memory *memory = memory_of(1000);
	struct thr_store_limit slow = limit_of(1, 60, 5), quick = limit_of(1000, 1, 1);
	struct thr_memory_key debtor = key_of(memory, 1, 0, 0);
	struct thr_standing is;

	(void)state;
	thr_memory_take(memory, &debtor, &slow, 5, NOW, &is);
	assert_true(is.allowed);
	/* Others come and go for all of the time that it owes, a hundred times the table. */
	for (uint64_t n = 2; n < 100000; n++) {
		struct thr_memory_key key = key_of(memory, n, 0, 0);
		uint64_t now_ns = NOW + n * 60 * S / 100000;

		thr_memory_take(memory, &key, &quick, 1, now_ns, &is);
		thr_memory_take(memory, &debtor, &slow, 1, now_ns, &is);
		assert_false(is.allowed);
		assert_int_equal(is.retry_ns, NOW + 60 * S - now_ns);
	}
	thr_memory_take(memory, &debtor, &slow, 1, NOW + 60 * S, &is);
	assert_true(is.allowed);
	thr_memory_free(memory);
}

static void a_bucket_is_given_up_50_ms_after_it_is_full(void **state)
{
	struct thr_memory *memory = memory_of(1);
	struct thr_store_limit limit = limit_of(1, 1, 1);
	uint64_t n = fill(memory, &limit, NOW);
	struct thr_memory_key key = key_of(memory, n, 0, 0);
	struct thr_standing is;

	(void)state;
	thr_memory_take(memory, &key, &limit, 0, NOW + S + 50 * MS - 1, &is);
	assert_int_equal(thr_memory_take(memory, &key, &limit, 0, NOW + S + 49 * MS, &is),
			 THR_PLACE_GROUP);
	assert_int_equal(thr_memory_take(memory, &key, &limit, 0, NOW + S + 50 * MS, &is),
			 THR_PLACE_OWN);
	thr_memory_free(memory);
}

/* In the order that yields most: first the shared bucket, then one's own. */
static void moving_to_a_bucket_of_its_own_gains_a_key_nothing(void **state)
{
	struct thr_memory *memory = memory_of(1);
	struct thr_store_limit others = limit_of(1, 1, 1), limit = limit_of(1, 60, 10);
	uint64_t n = fill(memory, &others, NOW), later = NOW + S + 100 * MS;
	struct thr_memory_key key = key_of(memory, n, 0, 0);
	struct thr_standing is;

	(void)state;
	assert_int_equal(thr_memory_take(memory, &key, &limit, 9, NOW, &is), THR_PLACE_GROUP);
	assert_true(is.allowed);
	assert_int_equal(thr_memory_take(memory, &key, &limit, 0, later, &is), THR_PLACE_OWN);
	assert_int_equal(is.remaining, 1);
	assert_int_equal(thr_memory_take(memory, &key, &limit, 2, later, &is), THR_PLACE_OWN);
	assert_false(is.allowed);
	assert_int_equal(thr_memory_take(memory, &key, &limit, 1, later, &is), THR_PLACE_OWN);
	assert_true(is.allowed);
	assert_int_equal(is.remaining, 0);
	assert_int_equal(is.retry_ns, 0);
	thr_memory_free(memory);
}

/* The store asks which CPU it is on when it is about to claim a cell: there another
 * taker comes in between. */
static void (*at_claim)(void);

int sched_getcpu(void)
{
	void (*call)(void) = at_claim;

	at_claim = NULL;
	if (call)
		call();
	return 0;
}

static struct {
	struct thr_memory *memory;
	struct thr_memory_key key;
	struct thr_store_limit limit;
} between;

/* By a clock that is ahead by less than the 50 ms that clocks may differ. */
static void take_a_burst_of_its_own(void)
{
	struct thr_standing is;

	assert_int_equal(thr_memory_take(between.memory, &between.key, &between.limit, 10,
					 NOW + S + 60 * MS, &is),
			 THR_PLACE_OWN);
	assert_true(is.allowed);
}

static void a_taking_from_a_group_counts_for_nothing_once_the_key_has_its_own(void **state)
{
	struct thr_memory *memory = memory_of(1);
	struct thr_store_limit others = limit_of(1, 1, 1), limit = limit_of(1, 60, 10);
	uint64_t n = fill(memory, &others, NOW);
	struct thr_memory_key key = key_of(memory, n, 0, 0);
	struct thr_memory_counts counts;
	struct thr_standing is;

	(void)state;
	between.memory = memory;
	between.key = key;
	between.limit = limit;
	at_claim = take_a_burst_of_its_own;
	assert_int_equal(thr_memory_take(memory, &key, &limit, 10, NOW + S + 40 * MS, &is),
			 THR_PLACE_OWN);
	assert_false(is.allowed);
	thr_memory_count(memory, &counts);
	assert_int_equal(counts.own, LEAST_CELLS + 2);

	/* The group has back what was taken from it. */
	do {
		key = key_of(memory, ++n, 0, 0);
		key.group[0] = between.key.group[0];
	} while (thr_memory_take(memory, &key, &limit, 0, NOW + S + 40 * MS, &is) !=
		 THR_PLACE_GROUP);
	assert_int_equal(is.remaining, 10);
	thr_memory_free(memory);
}

static void a_raised_limit_holds_from_now_on(void **state)
{
	struct thr_memory *memory = memory_of(100);
	struct thr_store_limit slow = limit_of(1, 3600, 10), raised = limit_of(1, 1, 10);
	struct thr_memory_key key = key_of(memory, 1, 0, 0);
	struct thr_standing is;

	(void)state;
	thr_memory_take(memory, &key, &slow, 10, NOW, &is);
	assert_int_equal(is.reset_ns, 36000 * S);
	thr_memory_take(memory, &key, &raised, 1, NOW + S, &is);
	assert_false(is.allowed);
	assert_int_equal(is.retry_ns, S);
	thr_memory_take(memory, &key, &raised, 1, NOW + 2 * S, &is);
	assert_true(is.allowed);
	thr_memory_free(memory);
}

/* The shared mappings of this process, as the kernel lists them. */
static size_t find_shared(char *ret_from[], size_t ret_size[], size_t room)
{
	AUTO_FCLOSE FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[512];
	size_t count = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps) && count < room)
		if (strstr(line, " rw-s ") && sscanf(line, "%lx-%lx", &from, &to) == 2) {
			ret_from[count] = (char *)from;
			ret_size[count++] = to - from;
		}
	return count;
}

static void no_content_of_the_shared_memory_leads_a_process_astray(void **state)
{
	static const unsigned char junk[] = {0xff, 0x41, 0x01, 0x00};
	struct thr_store_limit limit = limit_of(50, 1, 100);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(junk); i++) {
		struct thr_memory *memory = memory_of(10000);
		uint64_t cells = thr_memory_cells(memory);
		struct thr_memory_key before = key_of(memory, 1, 0, 0), after;
		struct thr_standing is;
		size_t count, size[8];
		char *from[8];

		count = find_shared(from, size, ARRAY_SIZE(from));
		assert_int_equal(count, 1);
		memset(from[0], junk[i], size[0]);
		for (uint64_t n = 0; n < 100; n++) {
			struct thr_memory_key any = key_of(memory, n, n % 7, n % 3);

			thr_memory_take(memory, &any, &limit, n % 3, NOW + n * S, &is);
			assert_in_range(is.remaining, 0, 100);
		}
		assert_int_equal(thr_memory_cells(memory), cells);
		assert_in_range(thr_memory_used(memory, NOW), 0, cells);
		after = key_of(memory, 1, 0, 0);
		assert_memory_equal(&after.key, &before.key, sizeof(after.key));
		thr_memory_free(memory);
		assert_int_equal(find_shared(from, size, ARRAY_SIZE(from)), 0);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_limit_is_kept_in_the_units_of_a_bucket),
		cmocka_unit_test(a_standing_says_what_is_left_and_when),
		cmocka_unit_test(a_cost_over_the_burst_never_conforms_and_takes_nothing),
		cmocka_unit_test(a_look_takes_nothing_and_is_not_counted),
		cmocka_unit_test(takings_agree_with_a_bucket),
		cmocka_unit_test(the_table_has_an_eighth_more_cells_than_keys),
		cmocka_unit_test(cells_are_in_use_until_their_bucket_is_full_again),
		cmocka_unit_test(use_of_a_large_table_is_known_to_a_hundredth_of_it),
		cmocka_unit_test(nearly_as_many_keys_as_promised_have_buckets_of_their_own),
		cmocka_unit_test(
			a_full_table_shares_a_bucket_by_group_then_by_second_group_then_refuses),
		cmocka_unit_test(a_refusal_without_a_bucket_says_when_one_can_be_had),
		cmocka_unit_test(a_client_in_debt_is_never_forgotten),
		cmocka_unit_test(a_bucket_is_given_up_50_ms_after_it_is_full),
		cmocka_unit_test(moving_to_a_bucket_of_its_own_gains_a_key_nothing),
		cmocka_unit_test(a_taking_from_a_group_counts_for_nothing_once_the_key_has_its_own),
		cmocka_unit_test(a_raised_limit_holds_from_now_on),
		cmocka_unit_test(no_content_of_the_shared_memory_leads_a_process_astray),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
