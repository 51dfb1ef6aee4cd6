/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate's hash, over many random seeds: whichever two keys one takes, they share a
 * cell in one of as many cases as there are cells; so runs of addresses, as networks
 * have them, spread as if by chance. Seeds of the test are fixed.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <stdlib.h>

#include "support/run.h"
#include "support/random.h"
#include "support/gate_model.h"

struct seeds {
	__u64 of[THR_SEEDS];
};

static struct seeds draw(__u64 *random)
{
	struct seeds seeds;

	for (int i = 0; i < THR_SEEDS; i++)
		seeds.of[i] = next_random(random);
	return seeds;
}

static struct thr_bucket_key key_of_v4(__u32 address)
{
	return (struct thr_bucket_key){.source = {0, htobe64(0xffff00000000ULL | address)}};
}

static struct thr_bucket_key key_of_v6(__u64 high, __u64 low)
{
	return (struct thr_bucket_key){.source = {htobe64(high), htobe64(low)}, .is_v6 = 1};
}

/* --- any two keys --- */

#define PAIR_BITS 8
#define DRAWS 100000

/* How often the two share one of 256 cells; the expectation is 391, and its standard
 * deviation 20. */
static void assert_meet_by_chance(const struct thr_bucket_key *a, __u32 kind_a,
				  const struct thr_bucket_key *b, __u32 kind_b)
{
	__u64 random = 0x5eed0231;
	int met = 0;

	for (int i = 0; i < DRAWS; i++) {
		struct seeds seeds = draw(&random);

		met += !((gate_hash(seeds.of, a, kind_a) ^ gate_hash(seeds.of, b, kind_b)) >>
			 (64 - PAIR_BITS));
	}
	assert_in_range(met, 391 - 5 * 20, 391 + 5 * 20);
}

static void any_two_addresses_meet_by_chance(void **state)
{
	const struct thr_bucket_key pairs[][2] = {
		{key_of_v4(0x0a000000), key_of_v4(0x0a000001)},
		{key_of_v4(0x0a000000), key_of_v4(0x0a000100)},
		{key_of_v4(0x0a000001), key_of_v4(0x0b000001)},
		{key_of_v4(0x00000000), key_of_v4(0xffffffff)},
		{key_of_v4(0x00000000), key_of_v4(0x80000000)},
		{key_of_v6(0x20010db800000000, 0), key_of_v6(0x20010db800000001, 0)},
		{key_of_v6(0x20010db800000000, 1), key_of_v6(0x20010db900000000, 1)},
		{key_of_v6(1, 0), key_of_v6(0, 1)},	     /* halves turned */
		{key_of_v6(1ULL << 32, 0), key_of_v6(1, 0)}, /* words turned */
		{key_of_v6(1, 2), key_of_v6(2, 1)},	     /* same sum */
		{key_of_v6(~0ULL, ~0ULL), key_of_v6(0, 0)},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		assert_meet_by_chance(&pairs[i][0], 0, &pairs[i][1], 0);
}

static void kinds_scopes_and_families_of_an_address_lie_apart(void **state)
{
	struct thr_bucket_key key = key_of_v4(0xc0000201), other = key;

	(void)state;
	assert_meet_by_chance(&key, THR_CONNECTIONS, &key, THR_PACKETS);
	assert_meet_by_chance(&key, THR_PACKETS, &key, THR_BYTES);
	other.is_v6 = 1;
	assert_meet_by_chance(&key, 0, &other, 0);
	other = key;
	other.scope = THR_SCOPE_SERVICE | 255;
	assert_meet_by_chance(&key, 0, &other, 0);
	other.scope = THR_SCOPE_PREFIX;
	assert_meet_by_chance(&key, 0, &other, 0);
	key.scope = THR_SCOPE_TIER | 120 << 8 | 3;
	other.scope = THR_SCOPE_SHARED | 120 << 8;
	assert_meet_by_chance(&key, 0, &other, 0);
}

static int compare_words(const void *a, const void *b)
{
	__u64 left = *(const __u64 *)a, right = *(const __u64 *)b;

	return left < right ? -1 : left > right;
}

#define OWNERS (1 << 18)

static void owners_have_different_names(void **state)
{
	static __u64 names[OWNERS];
	__u64 random = 0x5eed0232;
	struct seeds seeds = draw(&random);

	(void)state;
	for (__u32 i = 0; i < OWNERS; i++) {
		struct thr_bucket_key key = key_of_v4(i << 14);

		names[i] = gate_hash(seeds.of, &key, 0);
	}
	qsort(names, OWNERS, sizeof(names[0]), compare_words);
	for (int i = 1; i < OWNERS; i++)
		assert_true(names[i] != names[i - 1]);
}

/* --- runs of keys --- */

#define RUN_BITS 10
#define RUN (16 << RUN_BITS)
#define RUNS 400

typedef struct thr_bucket_key number_to_key(__u32 number);

static struct thr_bucket_key v4_in_sequence(__u32 number)
{
	return key_of_v4(0xc6120000 + number);
}

static struct thr_bucket_key v4_same_host(__u32 number)
{
	return key_of_v4(0x0a000001 + (number << 8));
}

static struct thr_bucket_key v6_networks_of_64(__u32 number)
{
	return key_of_v6(0x20010db800000000 + number, 0);
}

static struct thr_bucket_key v6_networks_of_48(__u32 number)
{
	return key_of_v6(0x20010db800000000 + ((__u64)number << 16), 0);
}

static struct thr_bucket_key v6_hosts_in_sequence(__u32 number)
{
	return key_of_v6(0x20010db800000000, 1 + number);
}

static struct thr_bucket_key services_of_tiers(__u32 number)
{
	struct thr_bucket_key key = key_of_v4(0xc0000000 + (number >> 8 << 8));

	key.scope = THR_SCOPE_TIER | 120 << 8 | (number & 255);
	return key;
}

/* Chi-square of a run over the cells, divided by its expectation. */
static double unevenness(const struct seeds *seeds, number_to_key *key_of)
{
	const double expected = (double)RUN / (1 << RUN_BITS);
	int count[1 << RUN_BITS] = {0};
	double sum = 0;

	for (__u32 i = 0; i < RUN; i++) {
		struct thr_bucket_key key = key_of(i);

		count[gate_hash(seeds->of, &key, THR_CONNECTIONS) >> (64 - RUN_BITS)]++;
	}
	for (int i = 0; i < 1 << RUN_BITS; i++)
		sum += (count[i] - expected) * (count[i] - expected) / expected;
	return sum / ((1 << RUN_BITS) - 1);
}

/* The mean over seeds is 1 where every pair meets by chance; that a run crowds under
 * none of them, the mixing sees to. */
static void runs_of_addresses_spread_as_if_by_chance(void **state)
{
	static const struct {
		const char *name;
		number_to_key *key_of;
	} runs[] = {
		{"IPv4 in sequence", v4_in_sequence},
		{"IPv4, same last byte", v4_same_host},
		{"IPv6, /64 in sequence", v6_networks_of_64},
		{"IPv6, /48 in sequence", v6_networks_of_48},
		{"IPv6, hosts in sequence", v6_hosts_in_sequence},
		{"services of /24", services_of_tiers},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		__u64 random = 0x5eed0233;
		double sum = 0, worst = 0;
		int bad = 0;

		for (int k = 0; k < RUNS; k++) {
			struct seeds seeds = draw(&random);
			double found = unevenness(&seeds, runs[i].key_of);

			sum += found;
			bad += found > 2;
			worst = found > worst ? found : worst;
		}
		print_message("# %s: mean %.3f, worst of %d seeds %.1f, %d above 2\n", runs[i].name,
			      sum / RUNS, RUNS, worst, bad);
		assert_true(sum / RUNS < 1.1);
		assert_int_equal(bad, 0);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_two_addresses_meet_by_chance),
		cmocka_unit_test(kinds_scopes_and_families_of_an_address_lie_apart),
		cmocka_unit_test(owners_have_different_names),
		cmocka_unit_test(runs_of_addresses_spread_as_if_by_chance),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
