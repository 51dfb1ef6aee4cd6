/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How often a source is held back on others' account, beside what the gate's header
 * says of it: Poisson arrivals. Mostly every packet is of another source, as of a flood
 * with spoofed addresses; by PASTA what such a packet finds is what an innocent one
 * finds.
 */
#include <math.h>

#include "support/run.h"
#include "support/random.h"
#include "support/gate_model.h"

#define NOW (1000 * TICKS_PER_S)
#define CELLS 4096
#define RATE 10
#define CLIENTS (2 * CELLS) /* sources that come again */

struct flood {
	double load; /* packets to a cell in the time of a token */
	__u64 burst;
	__u64 packets;
	gate_promote *promote;
};

struct result {
	double passed, over; /* parts of all packets */
};

static double next_fraction(__u64 *random)
{
	return ((double)(next_random(random) >> 11) + 0.5) / (double)(1ULL << 53);
}

/* How many were asked for a bucket of their own. */
static __u64 asked, budget_tat, budget_token;

static bool promote_never(struct gate_source *source, __u64 now)
{
	(void)source;
	(void)now;
	asked++;
	return false;
}

static bool promote_always(struct gate_source *source, __u64 now)
{
	(void)source;
	(void)now;
	asked++;
	return true;
}

static bool promote_on_budget(struct gate_source *source, __u64 now)
{
	(void)source;
	asked++;
	return !thr_bucket_charge(&budget_tat, now, 64 * budget_token, budget_token);
}

static struct thr_cell cells[CELLS];

static void set_source(struct gate_source *source, __u64 hash, __u64 burst)
{
	*source = (struct gate_source){.hash = hash, .cell = &cells[hash % CELLS]};
	gate_model_limit(source, RATE, burst);
}

static double mean_gap(const struct flood *flood)
{
	return (double)TICKS_PER_S / (flood->load * CELLS * RATE);
}

static struct result run_flood(const struct flood *flood)
{
	double gap = mean_gap(flood);
	__u64 random = 0x5eed0221, now = NOW, refused = 0;

	memset(cells, 0, sizeof(cells));
	asked = 0;
	for (__u64 i = 0; i < flood->packets; i++) {
		struct gate_source source;

		set_source(&source, next_random(&random), flood->burst);
		now += (__u64)(-log(next_fraction(&random)) * gap);
		refused += gate_model_take(&source, now, flood->promote) != MODEL_PASSED;
	}
	return (struct result){.passed = 1 - (double)refused / (double)flood->packets,
			       .over = (double)asked / (double)flood->packets};
}

/* Packets of clients none of which exceeds its own limit: how many are refused. */
static __u64 run_clients(const struct flood *flood)
{
	static struct gate_source clients[CLIENTS];
	double gap = mean_gap(flood);
	__u64 random = 0x5eed0222, now = NOW, refused = 0;

	memset(cells, 0, sizeof(cells));
	asked = 0;
	for (size_t i = 0; i < CLIENTS; i++)
		set_source(&clients[i], next_random(&random), flood->burst);
	for (__u64 i = 0; i < flood->packets; i++) {
		struct gate_source *client = &clients[next_random(&random) % CLIENTS];

		now += (__u64)(-log(next_fraction(&random)) * gap);
		if (client->taken + client->spent <= now + client->window)
			refused += gate_model_take(client, now, flood->promote) != MODEL_PASSED;
	}
	return refused;
}

/* The positive root of p * (exp(z) - 1) = z. */
static double decay(double load)
{
	double low = 1e-6, high = 50;

	while (high - low > 1e-9) {
		double z = (low + high) / 2;

		if (load * (exp(z) - 1) > z)
			high = z;
		else
			low = z;
	}
	return low;
}

/* One measured point, beside the bound. */
static void check_bound(const struct flood *flood)
{
	double bound = exp(-decay(flood->load) * (double)(flood->burst - 1));
	struct result result = run_flood(flood);

	print_message("# p %.1f, b %2llu: over %.6f, bound %.6f\n", flood->load,
		      (unsigned long long)flood->burst, result.over, bound);
	/* Six packets: chance, where the bound is of a packet or less. */
	assert_true(result.over <= bound + 6e-6);
	/* It is not far off: no more than ten times the truth. */
	if (bound > 1e-4)
		assert_true(result.over >= bound / 10);
}

/* Also where all that ask for a bucket get one, and what they take there is a debt of
 * the cells: so a flood below full load fills no table. */
static void cells_are_over_no_more_often_than_the_bound_says(void **state)
{
	static const double loads[] = {0.2, 0.5, 0.8};
	static const __u64 bursts[] = {2, 3, 5, 8, 20};
	static gate_promote *const promotes[] = {promote_never, promote_always};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(loads); i++)
		for (size_t k = 0; k < ARRAY_SIZE(bursts); k++)
			for (size_t n = 0; n < ARRAY_SIZE(promotes); n++)
				check_bound(&(struct flood){.load = loads[i],
							    .burst = bursts[k],
							    .packets = 1000000,
							    .promote = promotes[n]});
}

static void figures_of_the_header_are_right(void **state)
{
	(void)state;
	assert_float_equal(decay(0.5), 1.26, 0.005);
	assert_float_equal(exp(-4 * decay(0.5)), 0.007, 0.001);
	assert_true(exp(-19 * decay(0.5)) < 1e-10);
}

static void clients_within_their_limits_are_refused_nothing_while_buckets_can_be_had(void **state)
{
	static const double loads[] = {0.5, 0.9, 1.5};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
		const struct flood flood = {
			.load = loads[i], .burst = 5, .packets = 500000, .promote = promote_always};
		__u64 refused = run_clients(&flood);

		print_message("# p %.1f: %llu of %d clients got a bucket\n", loads[i],
			      (unsigned long long)asked, CLIENTS);
		assert_int_equal(refused, 0);
		/* Their cells were over on others' account. */
		assert_true(asked > CLIENTS / 100);
	}
}

/* Beyond a load of 1, the cells give their rate and the budget gives its own; the
 * rest is refused. What passed on the budget is a debt of the cells too. */
static void beyond_full_load_cells_and_budget_share_what_passes(void **state)
{
	const double seconds = 100, per_s = 2.0 * CELLS * RATE;
	const struct flood flood = {.load = 2,
				    .burst = 5,
				    .packets = (__u64)(seconds * per_s),
				    .promote = promote_on_budget};
	const double share = 1 + 5 / (seconds * RATE); /* their rate, and their bursts once */
	double budget;
	struct result result;

	(void)state;
	budget_tat = 0;
	budget_token = TICKS_PER_S / 4000;
	budget = 4000 / per_s;
	result = run_flood(&flood);
	print_message("# passed %.4f, of it on the budget %.4f\n", result.passed, budget);
	assert_true(result.passed <= share / 2 + budget + 0.002);
	assert_true(result.passed >= share / 2 - 0.01);
	assert_true(result.passed >= budget);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cells_are_over_no_more_often_than_the_bound_says),
		cmocka_unit_test(figures_of_the_header_are_right),
		cmocka_unit_test(
			clients_within_their_limits_are_refused_nothing_while_buckets_can_be_had),
		cmocka_unit_test(beyond_full_load_cells_and_budget_share_what_passes),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
