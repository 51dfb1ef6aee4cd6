/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The protocol by which a key comes to have one bucket: takers of one key go through
 * its steps in random orders, one step at a time, and some die on the way. After each
 * step the key has at most one bucket.
 */
#include <string.h>

#include "store/cells.h"
#include "support/random.h"
#include "support/run.h"
#include "thr_bucket.h"

#define LINES 16
#define NOW (1000000000000ULL << THR_TICK_SHIFT)
#define MS (1000000ULL << THR_TICK_SHIFT)

static struct thr_cell memory[LINES * THR_LINE_CELLS] __attribute__((aligned(64)));
static const struct thr_cell_table table = {memory, LINES};
static uint64_t nonce;

static struct thr_cells cells_of(uint64_t a, uint64_t b)
{
	const struct thr_hash hash = {{a << 60, b << 60 | 0x1234}};

	return thr_cells_of(&table, &hash);
}

static void clear(void)
{
	memset(memory, 0, sizeof(memory));
}

static struct thr_cell *cell_of(const struct thr_cells *cells, size_t i)
{
	return cells->run[i / THR_RUN_CELLS] + i % THR_RUN_CELLS;
}

/* --- single steps --- */

static void a_key_has_two_runs_of_8_cells_within_the_table(void **state)
{
	(void)state;
	for (uint64_t a = 0; a < 16; a++) {
		struct thr_cells cells = cells_of(a, 15 - a);

		for (size_t i = 0; i < THR_KEY_CELLS; i++) {
			struct thr_cell *cell = cell_of(&cells, i);

			assert_in_range((uintptr_t)cell, (uintptr_t)memory,
					(uintptr_t)(memory + LINES * THR_LINE_CELLS - 1));
		}
		assert_int_equal((uintptr_t)cells.run[0] % 64, 0);
		assert_int_equal((uintptr_t)cells.run[1] % 64, 0);
	}
}

static void a_swap_needs_both_words_to_be_as_they_were_seen(void **state)
{
	struct thr_cell cell = {2, 7};

	(void)state;
	assert_false(thr_cell_swap(&cell, (struct thr_cell){2, 8}, (struct thr_cell){4, 9}));
	assert_false(thr_cell_swap(&cell, (struct thr_cell){4, 7}, (struct thr_cell){4, 9}));
	assert_int_equal(cell.tag, 2);
	assert_int_equal(cell.state, 7);
	assert_true(thr_cell_swap(&cell, (struct thr_cell){2, 7}, (struct thr_cell){4, 9}));
	assert_int_equal(thr_cell_read(&cell).tag, 4);
	assert_int_equal(thr_cell_read(&cell).state, 9);
}

static void tags_are_neither_free_nor_claims(void **state)
{
	static const uint64_t words[] = {0, 1, 2, 3, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const struct thr_hash hash = {{0, words[i]}};
		struct thr_cells cells = thr_cells_of(&table, &hash);

		assert_int_not_equal(cells.tag, 0);
		assert_int_equal(cells.tag & 1, 0);
	}
}

static void room_is_in_the_emptier_run(void **state)
{
	struct thr_cells cells = cells_of(1, 9);

	(void)state;
	clear();
	cells.run[0][0] = (struct thr_cell){2, NOW};
	assert_ptr_equal(thr_cells_room(&cells, NOW), &cells.run[1][0]);
	cells.run[1][0] = cells.run[1][3] = (struct thr_cell){2, NOW};
	assert_ptr_equal(thr_cells_room(&cells, NOW), &cells.run[0][1]);
	for (size_t i = 0; i < THR_KEY_CELLS; i++)
		*cell_of(&cells, i) = (struct thr_cell){2, NOW + i * MS};
	assert_null(thr_cells_room(&cells, NOW));
	assert_int_equal(thr_cells_room_at(&cells), NOW + 50 * MS);
	assert_null(thr_cells_room(&cells, NOW + 50 * MS - 1));
	assert_ptr_equal(thr_cells_room(&cells, NOW + 50 * MS), &cells.run[0][0]);
}

static void a_claim_whose_process_died_can_be_claimed_50_ms_later(void **state)
{
	struct thr_cells one = cells_of(1, 9), other = cells_of(1, 8);
	struct thr_claim claim, again;

	(void)state;
	clear();
	other.tag += 2;
	assert_true(thr_cells_claim(&one, &one.run[0][0], NOW, nonce++, &claim));
	assert_true(thr_cells_has_any(&one));
	assert_null(thr_cells_find(&one));
	assert_false(thr_cells_claim(&other, &one.run[0][0], NOW + 49 * MS, nonce++, &again));
	assert_true(thr_cells_claim(&other, &one.run[0][0], NOW + 51 * MS, nonce++, &again));
	assert_false(thr_cells_commit(&one, &claim, NOW));
	assert_true(thr_cells_commit(&other, &again, NOW));
}

/* --- all orders of the steps --- */

#define TAKERS 3

struct taker {
	enum { FIND, CLAIM, LOOK, COMMIT, DONE } next;
	struct thr_claim claim;
};

static size_t buckets_of(const struct thr_cells *cells)
{
	size_t count = 0;

	for (size_t i = 0; i < THR_KEY_CELLS; i++)
		count += thr_cell_read(cell_of(cells, i)).tag == cells->tag;
	return count;
}

/* One step of a taker, that claims any cell: which one is not the protocol's concern. */
static void step(struct taker *taker, const struct thr_cells *cells, __u64 *random)
{
	struct thr_cell *any = cell_of(cells, next_random(random) % THR_KEY_CELLS);

	switch (taker->next) {
	case FIND:
		taker->next = thr_cells_find(cells) ? DONE : CLAIM;
		break;
	case CLAIM:
		taker->next =
			thr_cells_claim(cells, any, NOW, nonce++, &taker->claim) ? LOOK : FIND;
		break;
	case LOOK:
		taker->next = COMMIT;
		if (!thr_cells_is_alone(cells, &taker->claim)) {
			thr_cells_let_go(&taker->claim);
			taker->next = FIND;
		}
		break;
	case COMMIT:
		taker->next = thr_cells_commit(cells, &taker->claim, NOW + MS) ? DONE : FIND;
		break;
	case DONE:
		break;
	}
}

static void in_every_order_of_steps_a_key_gets_one_bucket(void **state)
{
	const struct thr_cells cells = cells_of(1, 9);
	__u64 random = 0x5eed0500;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		struct taker takers[TAKERS] = {0};
		size_t alive = 1 + next_random(&random) % TAKERS, steps = 0, done = 0;

		clear();
		while (done < alive) {
			/* Those from `alive` on stop for ever after a few steps. */
			size_t limit = steps++ < 8 ? TAKERS : alive;
			struct taker *taker = &takers[next_random(&random) % limit];

			step(taker, &cells, &random);
			assert_true(buckets_of(&cells) <= 1);
			assert_true(steps < 10000);
			done = 0;
			for (size_t i = 0; i < alive; i++)
				done += takers[i].next == DONE;
		}
		assert_int_equal(buckets_of(&cells), 1);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_has_two_runs_of_8_cells_within_the_table),
		cmocka_unit_test(a_swap_needs_both_words_to_be_as_they_were_seen),
		cmocka_unit_test(tags_are_neither_free_nor_claims),
		cmocka_unit_test(room_is_in_the_emptier_run),
		cmocka_unit_test(a_claim_whose_process_died_can_be_claimed_50_ms_later),
		cmocka_unit_test(in_every_order_of_steps_a_key_gets_one_bucket),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
