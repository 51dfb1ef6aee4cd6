/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of buckets under many processes and threads at once. Time stands still
 * in each round, so what may conform is known exactly: a burst for each key. All
 * takers go through the rounds together; from one to the next so much time passes
 * that buckets are full, forgotten, and made anew, which is where the races are.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/memory.h"
#include "support/random.h"
#include "support/run.h"

#define MS 1000000ULL
#define NOW (1000000 * MS)
#define ROUND_NS (60 * MS) /* the window, and more than the 50 ms after it */

#define KEYS 8
#define BURST 5
#define TAKERS_MAX 8

/* What takers share. */
struct arena {
	struct thr_memory *memory;
	struct thr_memory_key key[KEYS];
	struct thr_store_limit limit; /* of the keys: a burst comes back in 5 ms */
	struct thr_store_limit others;
	unsigned int takers, rounds, churn; /* other keys that each taker uses in a round */
	unsigned int arrived, round;
	unsigned int conformed[KEYS]; /* in this round */
	unsigned int most[KEYS], least[KEYS];
	bool over;
};

struct taker {
	struct arena *arena;
	unsigned int number;
};

static struct thr_store_limit limit_of(uint64_t count, uint32_t per_s, uint64_t burst)
{
	struct thr_rate rate = {.count = count, .per_s = per_s, .burst = burst};

	return thr_store_limit_of(&rate);
}

static struct thr_hash name(const struct arena *arena, uint64_t kind, uint64_t n)
{
	const uint64_t words[] = {kind, n};

	return thr_hash(thr_memory_hash_key(arena->memory), words, sizeof(words));
}

static struct thr_memory_key key_of(const struct arena *arena, uint64_t n)
{
	return (struct thr_memory_key){
		.key = name(arena, 1, n),
		.group = {name(arena, 2, n), name(arena, 3, n)},
	};
}

static struct arena *arena_new(uint64_t max_keys, unsigned int takers)
{
	struct arena *arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(arena, MAP_FAILED);
	assert_int_equal(thr_memory_new(max_keys, &arena->memory), 0);
	for (uint64_t i = 0; i < KEYS; i++) {
		arena->key[i] = key_of(arena, i);
		arena->least[i] = UINT32_MAX;
	}
	arena->limit = limit_of(1000, 1, BURST);
	arena->others = limit_of(1000, 1, 1);
	arena->takers = takers;
	arena->rounds = 3000;
	return arena;
}

static void arena_free(struct arena *arena)
{
	thr_memory_free(arena->memory);
	munmap(arena, sizeof(*arena));
}

static void close_round(struct arena *arena)
{
	for (size_t i = 0; i < KEYS; i++) {
		unsigned int conformed = arena->conformed[i];

		if (conformed > arena->most[i])
			arena->most[i] = conformed;
		if (conformed < arena->least[i])
			arena->least[i] = conformed;
		arena->conformed[i] = 0;
	}
}

/* Wait for all takers; the last to come ends the round. */
static void next_round(struct arena *arena, unsigned int round)
{
	if (__atomic_add_fetch(&arena->arrived, 1, __ATOMIC_SEQ_CST) == arena->takers) {
		arena->arrived = 0;
		close_round(arena);
		__atomic_store_n(&arena->round, round + 1, __ATOMIC_SEQ_CST);
	}
	while (__atomic_load_n(&arena->round, __ATOMIC_SEQ_CST) == round)
		sched_yield();
}

static bool take(struct arena *arena, size_t key, uint64_t now_ns)
{
	struct thr_standing is;

	thr_memory_take(arena->memory, &arena->key[key], &arena->limit, 1, now_ns, &is);
	return is.allowed;
}

static void take_others(struct arena *arena, __u64 *random, uint64_t now_ns)
{
	for (unsigned int i = 0; i < arena->churn; i++) {
		struct thr_memory_key key = key_of(arena, 1000 + next_random(random) % 100000);
		struct thr_standing is;

		thr_memory_take(arena->memory, &key, &arena->others, 1, now_ns, &is);
	}
}

static void *run_taker(void *argument)
{
	const struct taker *taker = argument;
	struct arena *arena = taker->arena;
	__u64 random = 0x5eed0300 + taker->number;

	for (unsigned int round = 0; round < arena->rounds; round++) {
		uint64_t now_ns = NOW + round * ROUND_NS;

		for (size_t i = 0; i < KEYS * (BURST + 1); i++) {
			if (i % KEYS == taker->number)
				take_others(arena, &random, now_ns);
			if (take(arena, i % KEYS, now_ns))
				__atomic_fetch_add(&arena->conformed[i % KEYS], 1,
						   __ATOMIC_SEQ_CST);
		}
		next_round(arena, round);
	}
	return NULL;
}

static pid_t fork_taker(struct arena *arena, unsigned int number)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		alarm(120);
		run_taker(&(struct taker){arena, number});
		_exit(0);
	}
	return pid;
}

static void run_processes(struct arena *arena)
{
	pid_t pids[TAKERS_MAX];
	int status;

	for (unsigned int i = 0; i < arena->takers; i++)
		pids[i] = fork_taker(arena, i);
	for (unsigned int i = 0; i < arena->takers; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

static void assert_each_round_gave(const struct arena *arena, unsigned int least, unsigned int most)
{
	for (size_t i = 0; i < KEYS; i++) {
		assert_in_range(arena->least[i], least, most);
		assert_in_range(arena->most[i], least, most);
	}
}

static void processes_get_exactly_the_limit_together(void **state)
{
	struct arena *arena = arena_new(10000, 4);

	(void)state;
	run_processes(arena);
	assert_each_round_gave(arena, BURST, BURST);
	arena_free(arena);
}

static void threads_get_exactly_the_limit_together(void **state)
{
	struct arena *arena = arena_new(10000, TAKERS_MAX);
	struct taker takers[TAKERS_MAX];
	pthread_t threads[TAKERS_MAX];

	(void)state;
	arena->rounds = 1000;
	for (unsigned int i = 0; i < TAKERS_MAX; i++) {
		takers[i] = (struct taker){arena, i};
		assert_int_equal(pthread_create(&threads[i], NULL, run_taker, &takers[i]), 0);
	}
	for (unsigned int i = 0; i < TAKERS_MAX; i++)
		pthread_join(threads[i], NULL);
	assert_each_round_gave(arena, BURST, BURST);
	arena_free(arena);
}

static void keys_that_come_and_go_take_nothing_from_the_others(void **state)
{
	struct arena *arena = arena_new(10000, 4);

	(void)state;
	arena->churn = 20; /* 480 in a round of the 11,250 cells */
	arena->rounds = 2000;
	run_processes(arena);
	assert_each_round_gave(arena, BURST, BURST);
	arena_free(arena);
}

/* Each key has groups of its own here, so what it gets in all places counts. */
static void a_crowded_table_gives_no_key_more_than_its_limit(void **state)
{
	struct arena *arena = arena_new(1, 4);
	struct thr_memory_counts counts;

	(void)state;
	arena->churn = 4; /* 96 in a round of 128 cells, 64 of them for groups */
	run_processes(arena);
	assert_each_round_gave(arena, 0, BURST);
	thr_memory_count(arena->memory, &counts);
	assert_true(counts.group > 0);
	arena_free(arena);
}

/* Takes until it is killed; what it gets is not counted. */
static pid_t fork_victim(struct arena *arena, uint64_t now_ns)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	alarm(120);
	for (size_t i = 0;; i++)
		take(arena, i % KEYS, now_ns);
}

/* The test is a taker too: in each round it starts a process and kills it somewhere
 * in a taking. */
static void a_process_that_is_killed_while_it_takes_holds_up_nobody(void **state)
{
	struct arena *arena = arena_new(1000, 4);
	pid_t pids[TAKERS_MAX];
	__u64 random = 0x5eed0400;

	(void)state;
	arena->rounds = 300;
	for (unsigned int i = 1; i < arena->takers; i++)
		pids[i] = fork_taker(arena, i);
	for (unsigned int round = 0; round < arena->rounds; round++) {
		pid_t victim = fork_victim(arena, NOW + round * ROUND_NS);

		for (__u64 spin = next_random(&random) % 3; spin--;)
			sched_yield();
		kill(victim, SIGKILL);
		assert_int_equal(waitpid(victim, NULL, 0), victim);
		next_round(arena, round);
	}
	for (unsigned int i = 1; i < arena->takers; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_each_round_gave(arena, 0, BURST);
	/* And after all of it, every key still gets its burst. */
	for (size_t i = 0; i < KEYS; i++) {
		unsigned int conformed = 0;

		for (int n = 0; n < 2 * BURST; n++)
			conformed += take(arena, i, NOW + (arena->rounds + 2) * ROUND_NS);
		assert_int_equal(conformed, BURST);
	}
	arena_free(arena);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(processes_get_exactly_the_limit_together),
		cmocka_unit_test(threads_get_exactly_the_limit_together),
		cmocka_unit_test(keys_that_come_and_go_take_nothing_from_the_others),
		cmocka_unit_test(a_crowded_table_gives_no_key_more_than_its_limit),
		cmocka_unit_test(a_process_that_is_killed_while_it_takes_holds_up_nobody),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
