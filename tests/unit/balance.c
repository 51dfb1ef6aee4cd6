/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Picks: who gets how much, also when some targets are passed over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proxy/balance.h"
#include "support/random.h"
#include "support/run.h"

#define COUNT 5
#define FIRST 2 /* another route's targets come before */
#define NOW_MS 1000
#define ASIDE_MS 10000

static struct thr_target others[FIRST] = {{"x", 1}, {"y", 1}};
static struct thr_target targets_config[COUNT] = {
	{"10.0.0.1", 80}, {"10.0.0.2", 80}, {"10.0.0.3", 80}, {"10.0.0.4", 80}, {"10.0.0.4", 81},
};
static struct thr_route_config routes[] = {
	{.path = "/other", .targets = others, .target_count = FIRST},
	{.path = "/", .targets = targets_config, .target_count = COUNT},
};
static const struct thr_config config = {
	.upstream = {.max_failures = 1, .fail_timeout_ms = ASIDE_MS},
	.routes = routes,
	.route_count = ARRAY_SIZE(routes),
};

struct fixture {
	struct thr_targets *targets;
	uint64_t weight[COUNT];
	struct thr_picker picker;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	void *block;

	if (!fixture)
		return -1;
	block = mmap(NULL, thr_targets_size(&config, 1), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (block == MAP_FAILED)
		return -1;
	fixture->targets = thr_targets_new(block, &config, 1);
	if (!fixture->targets)
		return -1;
	for (size_t i = 0; i < COUNT; i++)
		fixture->weight[i] = thr_pick_weight(&targets_config[i]);
	fixture->picker = (struct thr_picker){
		.first = FIRST, .count = COUNT, .weight = fixture->weight, .random = 1};
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	thr_targets_free(fixture->targets);
	free(fixture);
	return 0;
}

static size_t pick_at(struct fixture *fixture, uint64_t client, uint64_t now_ms)
{
	struct thr_pick pick = {.client = client, .now_ms = now_ms};
	size_t number = thr_pick(&fixture->picker, fixture->targets, &pick);

	if (number != THR_PICK_NONE)
		assert_in_range(number, FIRST, FIRST + COUNT - 1);
	return number == THR_PICK_NONE ? number : number - FIRST;
}

static size_t pick_for(struct fixture *fixture, uint64_t client)
{
	return pick_at(fixture, client, NOW_MS);
}

static void set_aside(struct fixture *fixture, size_t i)
{
	assert_true(thr_target_failed(fixture->targets, FIRST + i, &config.upstream, NOW_MS));
}

/* `picks` picks, each for another client; how often each target got one. */
static void count_picks(struct fixture *fixture, size_t picks, size_t ret_counts[COUNT])
{
	__u64 seed = 7;

	memset(ret_counts, 0, COUNT * sizeof(ret_counts[0]));
	while (picks--)
		ret_counts[pick_for(fixture, next_random(&seed))]++;
}

static void taking_turns_gives_each_the_same(void **state)
{
	struct fixture *fixture = *state;
	size_t counts[COUNT];

	for (size_t i = 0; i < 2 * COUNT; i++)
		assert_int_equal(pick_for(fixture, 0), i % COUNT);
	count_picks(fixture, 1000, counts);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(counts[i], 1000 / COUNT);
}

static void turns_start_where_the_worker_says(void **state)
{
	struct fixture *fixture = *state;

	fixture->picker.turn = 3 + 4 * COUNT;
	assert_int_equal(pick_for(fixture, 0), 3);
	assert_int_equal(pick_for(fixture, 0), 4);
	assert_int_equal(pick_for(fixture, 0), 0);
}

static void the_turn_of_one_set_aside_is_spread_over_all_others(void **state)
{
	struct fixture *fixture = *state;
	size_t counts[COUNT];

	set_aside(fixture, 1);
	count_picks(fixture, 1000, counts);
	assert_int_equal(counts[1], 0);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(counts[i], i == 1 ? 0 : 1000 / (COUNT - 1));
}

static void the_least_busy_gets_the_request_and_equals_take_turns(void **state)
{
	struct fixture *fixture = *state;
	size_t counts[COUNT];

	fixture->picker.balance = THR_LEAST_CONN;
	count_picks(fixture, 1000, counts);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(counts[i], 1000 / COUNT);
	for (size_t i = 0; i < COUNT; i++)
		for (size_t busy = 0; busy < COUNT - i; busy++)
			thr_target_begin(fixture->targets, FIRST + i, 0);
	assert_int_equal(pick_for(fixture, 0), 4);
	assert_int_equal(pick_for(fixture, 0), 4);
	set_aside(fixture, 4);
	assert_int_equal(pick_for(fixture, 0), 3);
	thr_target_end(fixture->targets, FIRST, 0);
	thr_target_end(fixture->targets, FIRST, 0);
	thr_target_end(fixture->targets, FIRST, 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pick_for(fixture, 0), i % 2 ? 3 : 0);
}

static void a_client_stays_with_its_target(void **state)
{
	struct fixture *fixture = *state;
	__u64 seed = 9;

	fixture->picker.balance = THR_CONSISTENT_HASH;
	for (size_t i = 0; i < 1000; i++) {
		uint64_t client = next_random(&seed);

		assert_int_equal(pick_for(fixture, client), pick_for(fixture, client));
	}
}

static void clients_spread_evenly_even_when_their_hashes_are_alike(void **state)
{
	struct fixture *fixture = *state;
	size_t counts[COUNT] = {0};

	fixture->picker.balance = THR_CONSISTENT_HASH;
	for (uint64_t client = 0; client < 10000; client++)
		counts[pick_for(fixture, client)]++;
	for (size_t i = 0; i < COUNT; i++)
		assert_in_range(counts[i], 1850, 2150);
}

static void only_the_clients_of_a_target_that_goes_move_and_they_spread(void **state)
{
	enum { CLIENTS = 10000 };
	static size_t before[CLIENTS];
	struct fixture *fixture = *state;
	size_t moved[COUNT] = {0};

	fixture->picker.balance = THR_CONSISTENT_HASH;
	for (uint64_t client = 0; client < CLIENTS; client++)
		before[client] = pick_for(fixture, client);
	set_aside(fixture, 2);
	for (uint64_t client = 0; client < CLIENTS; client++) {
		size_t after = pick_for(fixture, client);

		if (before[client] == 2)
			moved[after]++;
		else
			assert_int_equal(after, before[client]);
	}
	for (size_t i = 0; i < COUNT; i++)
		assert_in_range(moved[i], i == 2 ? 0 : 400, i == 2 ? 0 : 600);
}

static void a_target_keeps_its_clients_wherever_it_stands_in_the_list(void **state)
{
	struct fixture *fixture = *state;
	uint64_t reversed[COUNT];
	size_t before;

	fixture->picker.balance = THR_CONSISTENT_HASH;
	for (size_t i = 0; i < COUNT; i++)
		reversed[i] = fixture->weight[COUNT - 1 - i];
	for (uint64_t client = 0; client < 1000; client++) {
		fixture->picker.weight = fixture->weight;
		before = pick_for(fixture, client);
		fixture->picker.weight = reversed;
		assert_int_equal(pick_for(fixture, client), COUNT - 1 - before);
	}
}

static void weights_differ_by_host_and_by_port(void **state)
{
	struct fixture *fixture = *state;

	for (size_t i = 0; i < COUNT; i++)
		for (size_t j = 0; j < i; j++)
			assert_true(fixture->weight[i] != fixture->weight[j]);
}

static void random_picks_are_even_where_load_is(void **state)
{
	struct fixture *fixture = *state;
	size_t counts[COUNT];

	fixture->picker.balance = THR_RANDOM;
	count_picks(fixture, 10000, counts);
	for (size_t i = 0; i < COUNT; i++)
		assert_in_range(counts[i], 1850, 2150);
	set_aside(fixture, 3);
	count_picks(fixture, 10000, counts);
	for (size_t i = 0; i < COUNT; i++)
		assert_in_range(counts[i], i == 3 ? 0 : 2350, i == 3 ? 0 : 2650);
}

/* Two different ones are drawn: the busiest is never picked, the idlest when drawn. */
static void of_two_drawn_at_random_the_less_busy_is_picked(void **state)
{
	struct fixture *fixture = *state;
	size_t counts[COUNT];

	fixture->picker.balance = THR_RANDOM;
	for (size_t i = 0; i < COUNT; i++)
		for (size_t busy = 0; busy < i; busy++)
			thr_target_begin(fixture->targets, FIRST + i, 0);
	count_picks(fixture, 10000, counts);
	for (size_t i = 0; i < COUNT; i++)
		assert_in_range(counts[i], 1000 * (COUNT - 1 - i) - (i < COUNT - 1 ? 150 : 0),
				1000 * (COUNT - 1 - i) + (i < COUNT - 1 ? 150 : 0));
}

static const enum thr_balance every_balance[] = {
	THR_ROUND_ROBIN,
	THR_LEAST_CONN,
	THR_CONSISTENT_HASH,
	THR_RANDOM,
};

static void what_was_tried_is_not_picked_again_until_none_is_left(void **state)
{
	struct fixture *fixture = *state;

	for (size_t b = 0; b < ARRAY_SIZE(every_balance); b++) {
		size_t tried[COUNT];
		struct thr_pick pick = {.client = 5, .now_ms = NOW_MS, .tried = tried};

		fixture->picker.balance = every_balance[b];
		for (; pick.tried_count < COUNT; pick.tried_count++) {
			size_t number = thr_pick(&fixture->picker, fixture->targets, &pick);

			assert_in_range(number, FIRST, FIRST + COUNT - 1);
			for (size_t i = 0; i < pick.tried_count; i++)
				assert_int_not_equal(number, tried[i]);
			tried[pick.tried_count] = number;
		}
		assert_true(thr_pick(&fixture->picker, fixture->targets, &pick) == THR_PICK_NONE);
	}
}

static void when_all_are_set_aside_each_is_tried_once_when_its_time_is_over(void **state)
{
	struct fixture *fixture = *state;
	uint64_t now_ms = NOW_MS;

	for (size_t i = 0; i < COUNT; i++)
		set_aside(fixture, i);
	for (size_t b = 0; b < ARRAY_SIZE(every_balance); b++) {
		size_t picked = 0;

		fixture->picker.balance = every_balance[b];
		assert_true(pick_at(fixture, 5, now_ms) == THR_PICK_NONE);
		now_ms += ASIDE_MS;
		while (pick_at(fixture, 5, now_ms) != THR_PICK_NONE)
			picked++;
		assert_int_equal(picked, COUNT);
	}
	assert_true(thr_target_succeeded(fixture->targets, FIRST + 1));
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(pick_at(fixture, i, now_ms), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(taking_turns_gives_each_the_same),
		TEST(turns_start_where_the_worker_says),
		TEST(the_turn_of_one_set_aside_is_spread_over_all_others),
		TEST(the_least_busy_gets_the_request_and_equals_take_turns),
		TEST(a_client_stays_with_its_target),
		TEST(clients_spread_evenly_even_when_their_hashes_are_alike),
		TEST(only_the_clients_of_a_target_that_goes_move_and_they_spread),
		TEST(a_target_keeps_its_clients_wherever_it_stands_in_the_list),
		TEST(weights_differ_by_host_and_by_port),
		TEST(random_picks_are_even_where_load_is),
		TEST(of_two_drawn_at_random_the_less_busy_is_picked),
		TEST(what_was_tried_is_not_picked_again_until_none_is_left),
		TEST(when_all_are_set_aside_each_is_tried_once_when_its_time_is_over),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
