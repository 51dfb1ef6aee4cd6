/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rings by which workers tell the master of clients, and what it makes of that. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "daemon/master.h"
#include "support/run.h"

#define ROOM (4 * THR_NOTES_A_RING)

/* Number `number` of a worker. */
static struct thr_note note_of(unsigned int worker, uint32_t number)
{
	struct thr_note note = {.kind = THR_NOTE_BLOCKED, .until_ns = number};

	note.address.bytes[0] = (uint8_t)worker;
	return note;
}

static void put(struct thr_notes *notes, unsigned int worker, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		struct thr_note note = note_of(worker, i);

		thr_notes_put(notes, worker, &note);
	}
}

static struct thr_notes *given(unsigned int workers)
{
	struct thr_notes *notes;

	assert_int_equal(thr_notes_new(workers, &notes), 0);
	return notes;
}

/* The notes at `at` are those of `worker` from `first` on. */
static void assert_notes(const struct thr_note *at, size_t count, unsigned int worker,
			 uint32_t first)
{
	for (size_t i = 0; i < count; i++) {
		struct thr_note note = note_of(worker, first + (uint32_t)i);

		assert_memory_equal(&at[i].address, &note.address, sizeof(note.address));
		assert_int_equal(at[i].until_ns, note.until_ns);
	}
}

static void notes_come_out_in_order_over_many_rounds(void **state)
{
	struct thr_notes *notes = given(1);
	struct thr_note taken[ROOM];
	uint32_t first = 0;

	(void)state;
	for (uint32_t round = 0; round < 1000; round++) {
		uint32_t count = 1 + round % THR_NOTES_A_RING;

		put(notes, 0, first, count);
		assert_int_equal(thr_notes_take(notes, taken, ROOM), count);
		assert_notes(taken, count, 0, first);
		first += count;
	}
	assert_int_equal(thr_notes_take(notes, taken, ROOM), 0);
	assert_int_equal(thr_notes_lost(notes), 0);
	thr_notes_free(notes);
}

static void full_ring_loses_what_is_new_and_counts_it(void **state)
{
	struct thr_notes *notes = given(2);
	struct thr_note taken[ROOM];

	(void)state;
	put(notes, 1, 0, THR_NOTES_A_RING + 7);
	assert_int_equal(thr_notes_lost(notes), 7);
	assert_int_equal(thr_notes_take(notes, taken, ROOM), THR_NOTES_A_RING);
	assert_notes(taken, THR_NOTES_A_RING, 1, 0);

	put(notes, 1, 5000, 1);
	assert_int_equal(thr_notes_take(notes, taken, ROOM), 1);
	assert_notes(taken, 1, 1, 5000);
	assert_int_equal(thr_notes_lost(notes), 7);
	thr_notes_free(notes);
}

static void what_there_is_no_room_for_stays_and_no_worker_is_left_out(void **state)
{
	struct thr_notes *notes = given(2);
	struct thr_note taken[10];

	(void)state;
	put(notes, 0, 0, 100);
	put(notes, 1, 0, 100);
	assert_int_equal(thr_notes_take(notes, taken, 10), 10);
	assert_notes(taken, 10, 0, 0);
	assert_int_equal(thr_notes_take(notes, taken, 10), 10);
	assert_notes(taken, 10, 1, 0);
	assert_int_equal(thr_notes_take(notes, taken, 10), 10);
	assert_notes(taken, 10, 0, 10);
	thr_notes_free(notes);
}

static void notes_of_another_process_arrive_and_outlive_it(void **state)
{
	struct thr_notes *notes = given(1);
	struct thr_note taken[ROOM];
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		put(notes, 0, 0, 50);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	put(notes, 0, 50, 1); /* as the next worker does */
	assert_int_equal(thr_notes_take(notes, taken, ROOM), 51);
	assert_notes(taken, 51, 0, 0);
	thr_notes_free(notes);
}

/* Where the first worker counts what it has put: a stranger in it can write there. It is the
 * first word of the block that the first member points to. */
static uint32_t *count_of_first(const struct thr_notes *notes)
{
	uint32_t *count;

	memcpy(&count, notes, sizeof(count));
	return count;
}

static void a_count_out_of_step_costs_notes_but_no_more(void **state)
{
	struct thr_notes *notes = given(1);
	uint32_t *put_count = count_of_first(notes);
	struct thr_note taken[ROOM];

	(void)state;
	put(notes, 0, 0, 3);
	*put_count = 0x80000000u;
	assert_int_equal(thr_notes_take(notes, taken, ROOM), 0);
	put(notes, 0, 10, 5);
	assert_int_equal(thr_notes_take(notes, taken, ROOM), 5);
	assert_notes(taken, 5, 0, 10);
	thr_notes_free(notes);
}

/* --- what the master makes of one --- */

#define S THR_NS_PER_S
#define NOW (1000 * S)

static const char both[] =
	"rate_limit: {requests_per_second: 1, block: {refusals_per_minute: 1, for: 30s}}\n"
	"xdp: {interfaces: [nowhere0], services: [{name: web, ports: [80], "
	"new_sources: {per_second: 1}}]}\n";
static const char neither[] = "xdp: {interfaces: [nowhere0]}\n";

/* Until when a note from 192.0.2.1 is in force; 0: never. */
static uint64_t judged(const char *text, uint32_t kind, uint64_t until_ns)
{
	static const uint8_t bytes[] = {192, 0, 2, 1};
	struct thr_note note = {.kind = kind, .until_ns = until_ns};
	struct thr_config *config;
	bool good;

	assert_int_equal(thr_config_parse("test.yaml", text, strlen(text), NULL, &config, NULL), 0);
	thr_address_set_v4(&note.address, bytes);
	good = thr_heed_judge(config, &note, NOW);
	thr_config_free(config);
	return good ? note.until_ns : 0;
}

static void a_note_is_in_force_as_long_as_it_says_up_to_the_longest(void **state)
{
	(void)state;
	assert_int_equal(judged(both, THR_NOTE_BLOCKED, NOW + 20 * S), NOW + 20 * S);
	assert_int_equal(judged(both, THR_NOTE_BLOCKED, NOW + 31 * S), NOW + 30 * S);
	assert_int_equal(judged(both, THR_NOTE_BLOCKED, UINT64_MAX), NOW + 30 * S);
	assert_int_equal(judged(both, THR_NOTE_VERIFIED, NOW + 31 * S), NOW + 31 * S);
	assert_int_equal(judged(both, THR_NOTE_VERIFIED, UINT64_MAX), NOW + THR_VERIFIED_NS);
}

static void a_note_that_is_over_is_dropped(void **state)
{
	(void)state;
	assert_int_equal(judged(both, THR_NOTE_BLOCKED, NOW), 0);
	assert_int_equal(judged(both, THR_NOTE_VERIFIED, 0), 0);
}

static void a_note_that_nobody_asks_for_is_dropped(void **state)
{
	(void)state;
	assert_int_equal(judged(both, THR_NOTES, NOW + S), 0);
	assert_int_equal(judged(both, UINT32_MAX, NOW + S), 0);
	assert_int_equal(judged(neither, THR_NOTE_BLOCKED, NOW + S), 0);
	assert_int_equal(judged(neither, THR_NOTE_VERIFIED, NOW + S), 0);
}

static void a_note_of_no_address_is_dropped(void **state)
{
	struct thr_note note = {.kind = THR_NOTE_BLOCKED, .until_ns = NOW + S};
	struct thr_config *config;

	(void)state;
	assert_int_equal(thr_config_parse("test.yaml", both, strlen(both), NULL, &config, NULL), 0);
	assert_false(thr_heed_judge(config, &note, NOW));
	thr_config_free(config);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(notes_come_out_in_order_over_many_rounds),
		cmocka_unit_test(full_ring_loses_what_is_new_and_counts_it),
		cmocka_unit_test(what_there_is_no_room_for_stays_and_no_worker_is_left_out),
		cmocka_unit_test(notes_of_another_process_arrive_and_outlive_it),
		cmocka_unit_test(a_count_out_of_step_costs_notes_but_no_more),
		cmocka_unit_test(a_note_is_in_force_as_long_as_it_says_up_to_the_longest),
		cmocka_unit_test(a_note_that_is_over_is_dropped),
		cmocka_unit_test(a_note_that_nobody_asks_for_is_dropped),
		cmocka_unit_test(a_note_of_no_address_is_dropped),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
