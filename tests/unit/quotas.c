/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of quotas: as one process changes it and others read it. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/rate.h"
#include "store/quotas.h"
#include "support/random.h"
#include "support/run.h"
#include "thr_bucket.h"

static const struct thr_hash_key secret = {{1, 2}};

static struct thr_hash hash_of(const char *key)
{
	return thr_hash(&secret, key, strlen(key));
}

static struct thr_slice text(const char *key)
{
	return (struct thr_slice){key, strlen(key)};
}

static struct thr_quotas *quotas_for(uint64_t max, bool shared)
{
	struct thr_quotas *quotas;

	assert_int_equal(thr_quotas_new(max, shared, &quotas), 0);
	return quotas;
}

static int set(struct thr_quotas *quotas, const char *key, uint64_t capacity)
{
	const struct thr_hash hash = hash_of(key);
	struct thr_quota quota;
	const char *why;

	assert_int_equal(thr_quota_make(capacity, 1, THR_ON_ERROR_ALLOW, &quota, &why), 0);
	quota.version = capacity;
	return thr_quotas_set(quotas, &hash, text(key), &quota);
}

/* The capacity; 0: there is none. */
static uint64_t get(const struct thr_quotas *quotas, const char *key)
{
	const struct thr_hash hash = hash_of(key);
	struct thr_quota quota;

	return thr_quotas_find(quotas, &hash, text(key), &quota) ? quota.capacity : 0;
}

static bool discard(struct thr_quotas *quotas, const char *key)
{
	const struct thr_hash hash = hash_of(key);

	return thr_quotas_remove(quotas, &hash, text(key));
}

/* --- quotas --- */

static void a_quota_is_kept_in_the_units_of_a_bucket(void **state)
{
	struct thr_quota quota;
	const char *why;

	(void)state;
	assert_int_equal(thr_quota_make(100, 12.5, THR_ON_ERROR_DENY, &quota, &why), 0);
	assert_int_equal(quota.capacity, 100);
	assert_true(quota.refill_per_s == 12.5);
	assert_int_equal(quota.on_error, THR_ON_ERROR_DENY);
	assert_int_equal(quota.version, 0);
	assert_int_equal(quota.limit.interval, 80000000ULL << THR_INTERVAL_SHIFT);
	assert_int_equal(quota.limit.burst, 100);
	assert_int_equal(quota.limit.window, 8000000000ULL << THR_TICK_SHIFT);
	assert_int_equal(quota.limit.window_ns, 8000000000ULL);
}

static void a_quota_that_no_bucket_keeps_is_refused(void **state)
{
	static const struct {
		uint64_t capacity;
		double refill;
		bool fits;
	} cases[] = {
		{0, 1, false},
		{THR_COUNT_MAX, 1e9, true},
		{THR_COUNT_MAX + 1, 1e9, false},
		{1, 0, false},
		{1, -1, false},
		{1, 0.0 / 0.0, false},
		{1, 1.0 / 0.0, false},
		{1, 1e-9, false},
		{1, 1e-4, true},
		{1, 1e300, false},
		{1, 1e-300, false},
		{100, 1e-6, false}, /* 3 years */
		{36, 1e-6, false},  /* 416.6 days, but a token takes longer than 5 hours */
		{1, 0.0001, true},
		{1000000, 0.1, true},
		{1, 1e11, false}, /* less than a tick */
		{100, 1e11, true},
	};
	struct thr_quota quota = {.capacity = 77};
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r;

		why = NULL;
		quota.capacity = 77;
		r = thr_quota_make(cases[i].capacity, cases[i].refill, THR_ON_ERROR_LOCAL, &quota,
				   &why);
		if ((r == 0) != cases[i].fits)
			fail_msg("capacity %llu, refill %g: %d",
				 (unsigned long long)cases[i].capacity, cases[i].refill, r);
		if (r == 0)
			continue;
		assert_int_equal(r, -ERANGE);
		assert_non_null(why);
		assert_int_equal(quota.capacity, 77);
	}
}

static void a_condition_is_about_the_version_in_force(void **state)
{
	const struct thr_condition always = {.kind = THR_ALWAYS};
	const struct thr_condition some = {.kind = THR_IF_MATCH, .any = true};
	const struct thr_condition none = {.kind = THR_IF_NONE_MATCH, .any = true};
	const struct thr_condition one = {.kind = THR_IF_MATCH, .count = 2, .version = {3, 5}};
	const struct thr_condition other = {.kind = THR_IF_NONE_MATCH, .count = 1, .version = {5}};
	const struct thr_condition empty = {.kind = THR_IF_MATCH};
	const struct thr_condition zero = {.kind = THR_IF_MATCH, .count = 1, .version = {0}};

	(void)state;
	assert_true(thr_condition_holds(&always, 0) && thr_condition_holds(&always, 5));
	assert_true(!thr_condition_holds(&some, 0) && thr_condition_holds(&some, 5));
	assert_true(thr_condition_holds(&none, 0) && !thr_condition_holds(&none, 5));
	assert_true(!thr_condition_holds(&one, 0) && thr_condition_holds(&one, 5));
	assert_false(thr_condition_holds(&one, 4));
	assert_true(thr_condition_holds(&other, 0) && !thr_condition_holds(&other, 5));
	assert_true(thr_condition_holds(&other, 4));
	assert_false(thr_condition_holds(&empty, 5));
	assert_false(thr_condition_holds(&zero, 0));
}

/* --- the table --- */

static void what_is_set_is_found_until_it_is_removed(void **state)
{
	struct thr_quotas *quotas = quotas_for(100, false);
	char long_key[THR_KEY_MAX + 1];

	(void)state;
	memset(long_key, 'x', THR_KEY_MAX);
	long_key[THR_KEY_MAX] = '\0';
	assert_int_equal(get(quotas, "k"), 0);
	assert_false(discard(quotas, "k"));
	assert_int_equal(set(quotas, "k", 5), 0);
	assert_int_equal(set(quotas, long_key, 6), 0);
	assert_int_equal(get(quotas, "k"), 5);
	assert_int_equal(get(quotas, "kk"), 0);
	assert_int_equal(get(quotas, long_key), 6);
	assert_int_equal(set(quotas, "k", 7), 0);
	assert_int_equal(get(quotas, "k"), 7);
	assert_int_equal(thr_quotas_count(quotas), 2);
	assert_true(discard(quotas, "k"));
	assert_int_equal(get(quotas, "k"), 0);
	assert_int_equal(get(quotas, long_key), 6);
	assert_int_equal(thr_quotas_count(quotas), 1);
	thr_quotas_free(quotas);
}

static void keys_with_one_hash_are_told_apart(void **state)
{
	struct thr_quotas *quotas = quotas_for(100, false);
	const struct thr_hash hash = {{7, 7}};
	struct thr_quota one = {.capacity = 1}, two = {.capacity = 2}, found;

	(void)state;
	assert_int_equal(thr_quotas_set(quotas, &hash, text("one"), &one), 0);
	assert_int_equal(thr_quotas_set(quotas, &hash, text("two"), &two), 0);
	assert_true(thr_quotas_find(quotas, &hash, text("one"), &found));
	assert_int_equal(found.capacity, 1);
	assert_true(thr_quotas_find(quotas, &hash, text("two"), &found));
	assert_int_equal(found.capacity, 2);
	assert_true(thr_quotas_remove(quotas, &hash, text("one")));
	assert_false(thr_quotas_find(quotas, &hash, text("one"), &found));
	assert_true(thr_quotas_find(quotas, &hash, text("two"), &found));
	thr_quotas_free(quotas);
}

static void a_full_table_takes_no_more_keys(void **state)
{
	struct thr_quotas *quotas = quotas_for(10, false);
	char key[8];

	(void)state;
	assert_int_equal(thr_quotas_max(quotas), 10);
	for (uint64_t i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "k%d", (int)i);
		assert_int_equal(set(quotas, key, i + 1), 0);
	}
	assert_int_equal(set(quotas, "more", 1), -ENOSPC);
	assert_int_equal(get(quotas, "more"), 0);
	assert_int_equal(set(quotas, "k3", 99), 0);
	assert_true(discard(quotas, "k0"));
	assert_int_equal(set(quotas, "more", 1), 0);
	assert_int_equal(thr_quotas_count(quotas), 10);
	thr_quotas_free(quotas);
}

/* Against a plain array, with as many graves as come of it. */
static void a_table_that_is_changed_for_long_stays_right(void **state)
{
	enum { KEYS = 200, MAX = 100 };
	struct thr_quotas *quotas = quotas_for(MAX, false);
	uint64_t model[KEYS] = {0}, count = 0;
	__u64 random = 0x5eed0003;
	char key[16];

	(void)state;
	for (uint64_t step = 1; step < 100000; step++) {
		uint64_t which = next_random(&random) % KEYS;

		snprintf(key, sizeof(key), "key %d", (int)which);
		assert_int_equal(get(quotas, key), model[which]);
		if (next_random(&random) % 2) {
			int r = set(quotas, key, step);

			assert_int_equal(r, !model[which] && count == MAX ? -ENOSPC : 0);
			count += !model[which] && r == 0;
			model[which] = r == 0 ? step : model[which];
		} else {
			assert_int_equal(discard(quotas, key), model[which] != 0);
			count -= model[which] != 0;
			model[which] = 0;
		}
		assert_int_equal(thr_quotas_count(quotas), count);
	}
	thr_quotas_free(quotas);
}

static void add_capacity(void *context, struct thr_slice key, const struct thr_quota *quota)
{
	assert_int_equal(key.at[0], 'k');
	*(uint64_t *)context += quota->capacity;
}

/* What `times` look-ups of keys without a quota cost this thread. */
static uint64_t misses_ns(const struct thr_quotas *quotas, int times)
{
	struct timespec before, after;
	char key[32];

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	for (int i = 0; i < times; i++) {
		snprintf(key, sizeof(key), "none %d", i);
		assert_int_equal(get(quotas, key), 0);
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	return (uint64_t)(after.tv_sec - before.tv_sec) * 1000000000 + (uint64_t)after.tv_nsec -
	       (uint64_t)before.tv_nsec;
}

/* With what was removed left behind in every place, a search for what is not there must not
 * go through the whole table: that takes some hundred times as long. */
static void a_key_without_a_quota_is_told_soon_after_many_changes(void **state)
{
	struct thr_quotas *quotas = quotas_for(8192, false);
	uint64_t before_ns;
	char key[32];

	(void)state;
	for (int i = 0; i < 8192; i++) {
		snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(set(quotas, key, 1), 0);
	}
	before_ns = misses_ns(quotas, 2000);
	for (int i = 0; i < 400000; i++) {
		snprintf(key, sizeof(key), "%d", i);
		assert_true(discard(quotas, key));
		snprintf(key, sizeof(key), "%d", i + 8192);
		assert_int_equal(set(quotas, key, 1), 0);
	}
	assert_in_range(misses_ns(quotas, 2000), 0, 20 * before_ns);
	thr_quotas_free(quotas);
}

static void each_quota_is_gone_through_once(void **state)
{
	struct thr_quotas *quotas = quotas_for(100, false);
	uint64_t sum = 0, at = 0, seen = 0;
	struct thr_quota quota;
	struct thr_slice found;
	char key[8];

	(void)state;
	assert_int_equal(thr_quotas_next(quotas, 0, &found, &quota), 0);
	for (uint64_t i = 1; i <= 100; i++) {
		snprintf(key, sizeof(key), "k%d", (int)i);
		set(quotas, key, i);
	}
	discard(quotas, "k50");
	thr_quotas_each(quotas, add_capacity, &sum);
	assert_int_equal(sum, 100 * 101 / 2 - 50);
	while ((at = thr_quotas_next(quotas, at, &found, &quota)))
		seen++;
	assert_int_equal(seen, 99);
	thr_quotas_free(quotas);
}

/* --- lists --- */

/* Its number, of a key such as "k17". */
static uint64_t number_of(struct thr_slice key)
{
	char digits[THR_KEY_MAX];

	assert_in_range(key.length, 2, sizeof(digits) - 1);
	memcpy(digits, key.at + 1, key.length - 1);
	digits[key.length - 1] = '\0';
	return strtoull(digits, NULL, 10);
}

/* Go through all in pages of `most`. Of each key "k..." whose number is below `keys`, count how
 * often it is there. */
static void list_all(const struct thr_quotas *quotas, size_t most, unsigned int *times, size_t keys)
{
	struct thr_quota_place place[101];
	uint64_t from = 0, last = 0;
	size_t count;

	assert_in_range(most, 1, 100);
	memset(times, 0, keys * sizeof(*times));
	do {
		count = thr_quotas_list(quotas, from, most + 1, place);
		for (size_t i = 0; i < count && i < most; i++) {
			char bytes[THR_KEY_MAX];
			struct thr_quota quota;
			struct thr_slice key = thr_quotas_read(quotas, &place[i], bytes, &quota);

			assert_true(place[i].version > last);
			last = place[i].version;
			/* As set() makes them. */
			assert_int_equal(quota.capacity, quota.version);
			assert_int_equal(quota.limit.burst, quota.version);
			if (key.at[0] == 'k' && number_of(key) < keys)
				times[number_of(key)]++;
		}
		from = place[most].version;
	} while (count > most);
}

static void a_list_is_in_the_order_of_versions(void **state)
{
	struct thr_quotas *quotas = quotas_for(10, false);
	struct thr_quota_place place[4];
	struct thr_quota quota;
	char bytes[THR_KEY_MAX];

	(void)state;
	assert_int_equal(thr_quotas_list(quotas, 0, 4, place), 0);
	set(quotas, "three", 3);
	set(quotas, "one", 1);
	set(quotas, "four", 2);
	set(quotas, "two", 2);
	set(quotas, "four", 4);
	set(quotas, "none", 5);
	discard(quotas, "none");

	assert_int_equal(thr_quotas_list(quotas, 0, 4, place), 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(place[i].version, i + 1);
	assert_true(thr_slice_is(thr_quotas_read(quotas, &place[0], bytes, &quota), "one"));
	assert_int_equal(quota.capacity, 1);
	assert_int_equal(quota.on_error, THR_ON_ERROR_ALLOW);
	assert_true(thr_slice_is(thr_quotas_read(quotas, &place[3], bytes, &quota), "four"));

	assert_int_equal(thr_quotas_list(quotas, 3, 4, place), 2);
	assert_int_equal(place[0].version, 3);
	assert_int_equal(thr_quotas_list(quotas, 5, 4, place), 0);
	assert_int_equal(thr_quotas_list(quotas, UINT64_MAX, 4, place), 0);
	assert_int_equal(thr_quotas_list(quotas, 2, 1, place), 1);
	assert_int_equal(place[0].version, 2);
	thr_quotas_free(quotas);
}

static void pages_have_each_quota_once(void **state)
{
	enum { KEYS = 500 };
	struct thr_quotas *quotas = quotas_for(KEYS, false);
	unsigned int times[KEYS];
	char key[16];

	(void)state;
	for (uint64_t i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "k%d", (int)i);
		/* Versions that go neither up nor down with the keys, and have gaps. */
		assert_int_equal(set(quotas, key, 1 + i * 7 % KEYS * 1000), 0);
	}
	for (size_t most = 1; most <= 100; most += 9) {
		list_all(quotas, most, times, KEYS);
		for (size_t i = 0; i < KEYS; i++)
			assert_int_equal(times[i], 1);
	}
	thr_quotas_free(quotas);
}

/* As of two workers whose replicas came to be in other ways. */
static void a_list_goes_on_in_another_table_of_the_same_quotas(void **state)
{
	enum { KEYS = 60 };
	struct thr_quotas *one = quotas_for(KEYS, false), *other = quotas_for(10 * KEYS, false);
	struct thr_quota_place first[31], second[KEYS];
	bool found[KEYS] = {false};
	struct thr_quota quota;
	char bytes[THR_KEY_MAX];
	char key[16];

	(void)state;
	for (uint64_t i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "k%d", (int)i);
		assert_int_equal(set(one, key, i + 1), 0);
		snprintf(key, sizeof(key), "k%d", (int)(KEYS - 1 - i));
		assert_int_equal(set(other, key, KEYS - i), 0);
	}
	assert_int_equal(thr_quotas_list(one, 0, 31, first), 31);
	assert_int_equal(thr_quotas_list(other, first[30].version, KEYS, second), KEYS - 30);
	for (size_t i = 0; i < KEYS; i++) {
		struct thr_slice read =
			i < 30 ? thr_quotas_read(one, &first[i], bytes, &quota)
			       : thr_quotas_read(other, &second[i - 30], bytes, &quota);

		assert_false(found[number_of(read)]);
		found[number_of(read)] = true;
	}
	thr_quotas_free(one);
	thr_quotas_free(other);
}

/* --- processes --- */

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void a_process_that_reads_sees_what_another_changes(void **state)
{
	struct thr_quotas *quotas = quotas_for(100, true);
	int ready[2];
	pid_t pid;
	char byte;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		bool right = thr_quotas_read_only(quotas) == 0;

		right = right && read(ready[0], &byte, 1) == 1 && get(quotas, "k") == 5 &&
			thr_quotas_count(quotas) == 1;
		_exit(right ? 0 : 1);
	}
	set(quotas, "k", 5);
	assert_int_equal(write(ready[1], "x", 1), 1);
	assert_int_equal(status_of(pid), 0);
	close(ready[0]);
	close(ready[1]);
	thr_quotas_free(quotas);
}

static void who_can_only_read_ends_by_writing(void **state)
{
	struct thr_quotas *quotas = quotas_for(100, true);
	int status;
	pid_t pid;

	(void)state;
	set(quotas, "k", 5);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		if (thr_quotas_read_only(quotas) == 0 && get(quotas, "k") == 5)
			set(quotas, "k", 6);
		_exit(1);
	}
	status = status_of(pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	assert_int_equal(get(quotas, "k"), 5);
	thr_quotas_free(quotas);
}

/* A reader sees all of one version or all of another, whenever it looks. */
static void a_reader_never_sees_half_of_a_change(void **state)
{
	struct thr_quotas *quotas = quotas_for(100, true);
	const struct thr_hash hash = hash_of("k");
	bool *stop = mmap(NULL, sizeof(*stop), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);
	struct thr_quota quota;
	pid_t pid;

	(void)state;
	assert_true(stop != MAP_FAILED);
	set(quotas, "k", 1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		while (!__atomic_load_n(stop, __ATOMIC_RELAXED))
			for (uint64_t i = 1; i <= 1000; i++)
				set(quotas, "k", i);
		_exit(0);
	}
	for (int i = 0; i < 200000; i++) {
		assert_true(thr_quotas_find(quotas, &hash, text("k"), &quota));
		assert_int_equal(quota.capacity, quota.version);
		assert_int_equal(quota.capacity, quota.limit.burst);
	}
	__atomic_store_n(stop, true, __ATOMIC_RELAXED);
	assert_int_equal(status_of(pid), 0);
	munmap(stop, sizeof(*stop));
	thr_quotas_free(quotas);
}

/* As when the scheduler takes the processor from it, which may be for long. */
static void a_writer_that_stands_still_is_not_waited_for(void **state)
{
	struct thr_quotas *quotas = quotas_for(100, true);
	uint64_t seen;
	int status;
	pid_t pid;

	(void)state;
	set(quotas, "k", 1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint64_t i = 1; pid == 0; i = i % 1000 + 1)
		set(quotas, "k", i);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(kill(pid, SIGSTOP), 0);
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		seen = get(quotas, "k");
		assert_true(seen > 0);
		assert_int_equal(kill(pid, SIGCONT), 0);
		while (get(quotas, "k") == seen)
			sched_yield(); /* until it went on */
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_true(WIFSIGNALED(status_of(pid)));
	thr_quotas_free(quotas);
}

/* Set, replace and remove keys "m0" to "m99", with versions that pass those of what stays again
 * and again. */
static void change_others(struct thr_quotas *quotas, uint64_t *changes)
{
	__u64 random = 0x5eed0017;
	char key[16];

	for (;;) {
		uint64_t which = next_random(&random);
		uint64_t number = __atomic_add_fetch(changes, 1, __ATOMIC_RELAXED);

		snprintf(key, sizeof(key), "m%d", (int)(which % 100));
		if (which >> 32 & 1)
			set(quotas, key, 2 * (number % 10000) + 1);
		else
			discard(quotas, key);
	}
}

static void what_stays_is_listed_once_while_others_are_changed(void **state)
{
	enum { KEYS = 100, ROUNDS = 500 };
	struct thr_quotas *quotas = quotas_for(2 * KEYS, true);
	uint64_t *changes = mmap(NULL, sizeof(*changes), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int times[KEYS];
	char key[16];
	pid_t pid;

	(void)state;
	assert_true(changes != MAP_FAILED);
	for (uint64_t i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "k%d", (int)i);
		set(quotas, key, 200 * (1 + i * 37 % KEYS));
	}
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		change_others(quotas, changes);
	}
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t seen = __atomic_load_n(changes, __ATOMIC_RELAXED);

		list_all(quotas, 17, times, KEYS);
		for (size_t j = 0; j < KEYS; j++)
			assert_int_equal(times[j], 1);
		while (__atomic_load_n(changes, __ATOMIC_RELAXED) == seen)
			sched_yield(); /* until there was one */
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_true(WIFSIGNALED(status_of(pid)));
	munmap(changes, sizeof(*changes));
	thr_quotas_free(quotas);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quota_is_kept_in_the_units_of_a_bucket),
		cmocka_unit_test(a_quota_that_no_bucket_keeps_is_refused),
		cmocka_unit_test(a_condition_is_about_the_version_in_force),
		cmocka_unit_test(what_is_set_is_found_until_it_is_removed),
		cmocka_unit_test(keys_with_one_hash_are_told_apart),
		cmocka_unit_test(a_full_table_takes_no_more_keys),
		cmocka_unit_test(a_table_that_is_changed_for_long_stays_right),
		cmocka_unit_test(a_key_without_a_quota_is_told_soon_after_many_changes),
		cmocka_unit_test(each_quota_is_gone_through_once),
		cmocka_unit_test(a_list_is_in_the_order_of_versions),
		cmocka_unit_test(pages_have_each_quota_once),
		cmocka_unit_test(a_list_goes_on_in_another_table_of_the_same_quotas),
		cmocka_unit_test(a_process_that_reads_sees_what_another_changes),
		cmocka_unit_test(who_can_only_read_ends_by_writing),
		cmocka_unit_test(a_reader_never_sees_half_of_a_change),
		cmocka_unit_test(a_writer_that_stands_still_is_not_waited_for),
		cmocka_unit_test(what_stays_is_listed_once_while_others_are_changed),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
