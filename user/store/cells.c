/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Cells without a lock; the protocol and why it holds are in cells.h. */
#include "store/cells.h"

#include "thr_bucket.h"

#define CLAIMED 1ULL
#define SAMPLE_CELLS 65536 /* 1 MiB: 0.2 ms, and a standard error of 0.2 % at most */
#define NONCE_BITS 22	   /* of a claim's state: 262 us, far within THR_CLOCK_SKEW */

/* --- a cell --- */

/* Compilers have a builtin for this, but clang makes it a call to a library unless it
 * may assume cmpxchg16b, which every x86-64 processor since 2006 has. */
bool thr_cell_swap(struct thr_cell *at, struct thr_cell seen, struct thr_cell then)
{
#ifdef __x86_64__
	bool swapped;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(swapped), "+m"(*at), "+a"(seen.tag), "+d"(seen.state)
			 : "b"(then.tag), "c"(then.state)
			 : "memory");
	return swapped;
#else
	union wide {
		struct thr_cell cell;
		unsigned __int128 bits;
	} from = {.cell = seen}, to = {.cell = then};

	return __sync_bool_compare_and_swap(&((union wide *)at)->bits, from.bits, to.bits);
#endif
}

static uint64_t cell_tag(const struct thr_cell *at)
{
	return __atomic_load_n(&at->tag, __ATOMIC_SEQ_CST);
}

struct thr_cell thr_cell_read(const struct thr_cell *at)
{
	struct thr_cell seen;

	seen.state = __atomic_load_n(&at->state, __ATOMIC_SEQ_CST);
	seen.tag = cell_tag(at);
	return seen;
}

static bool is_forgettable(struct thr_cell cell, uint64_t now)
{
	return !cell.tag || cell.state + THR_CLOCK_SKEW <= now;
}

/* --- a key's cells --- */

/* The run that starts at a line chosen by the upper bits of `hash`. */
static struct thr_cell *run_of(const struct thr_cell_table *table, uint64_t hash)
{
	uint64_t starts = table->lines - THR_RUN_CELLS / THR_LINE_CELLS + 1;
	uint64_t line = (uint64_t)((unsigned __int128)hash * starts >> 64);

	return table->cells + line * THR_LINE_CELLS;
}

struct thr_cells thr_cells_of(const struct thr_cell_table *table, const struct thr_hash *hash)
{
	struct thr_cells cells = {
		.run = {run_of(table, hash->word[0]), run_of(table, hash->word[1])},
		.tag = hash->word[1] & ~CLAIMED,
	};

	if (!cells.tag)
		cells.tag = CLAIMED + 1;
	return cells;
}

static struct thr_cell *cell_at(const struct thr_cells *cells, size_t i)
{
	return cells->run[i / THR_RUN_CELLS] + i % THR_RUN_CELLS;
}

/* The second run is on its way while the first is looked through. */
struct thr_cell *thr_cells_find(const struct thr_cells *cells)
{
	__builtin_prefetch(cells->run[1]);
	__builtin_prefetch(cells->run[1] + THR_LINE_CELLS);
	for (size_t i = 0; i < THR_KEY_CELLS; i++)
		if (cell_tag(cell_at(cells, i)) == cells->tag)
			return cell_at(cells, i);
	return NULL;
}

bool thr_cells_has_any(const struct thr_cells *cells)
{
	for (size_t i = 0; i < THR_KEY_CELLS; i++)
		if ((cell_tag(cell_at(cells, i)) & ~CLAIMED) == cells->tag)
			return true;
	return false;
}

/* The first of the run that has the most. */
struct thr_cell *thr_cells_room(const struct thr_cells *cells, uint64_t now)
{
	struct thr_cell *room = NULL;
	size_t most = 0;

	for (size_t run = 0; run < THR_KEY_RUNS; run++) {
		struct thr_cell *first = NULL;
		size_t count = 0;

		for (size_t i = THR_RUN_CELLS; i--;) {
			struct thr_cell *cell = cells->run[run] + i;

			if (!is_forgettable(thr_cell_read(cell), now))
				continue;
			first = cell;
			count++;
		}
		if (count > most) {
			most = count;
			room = first;
		}
	}
	return room;
}

uint64_t thr_cells_room_at(const struct thr_cells *cells)
{
	uint64_t first = UINT64_MAX - THR_CLOCK_SKEW;

	for (size_t i = 0; i < THR_KEY_CELLS; i++) {
		struct thr_cell seen = thr_cell_read(cell_at(cells, i));

		if (seen.state < first)
			first = seen.state;
	}
	return first + THR_CLOCK_SKEW;
}

uint64_t thr_cells_used(const struct thr_cell_table *table, uint64_t now)
{
	uint64_t cells = table->lines * THR_LINE_CELLS, used = 0;
	uint64_t sample = cells < SAMPLE_CELLS ? cells : SAMPLE_CELLS;

	for (uint64_t i = 0; i < sample; i++)
		used += !is_forgettable(thr_cell_read(&table->cells[i]), now);
	return sample == cells ? used : used * cells / SAMPLE_CELLS;
}

/* --- claims --- */

bool thr_cells_claim(const struct thr_cells *cells, struct thr_cell *cell, uint64_t now,
		     uint64_t nonce, struct thr_claim *ret_claim)
{
	const uint64_t mask = (1ULL << NONCE_BITS) - 1;
	struct thr_cell seen = thr_cell_read(cell);
	struct thr_cell content = {cells->tag | CLAIMED, (now & ~mask) | (nonce & mask)};

	if (!is_forgettable(seen, now) || !thr_cell_swap(cell, seen, content))
		return false;
	ret_claim->cell = cell;
	ret_claim->content = content;
	return true;
}

/* A claim that could not be killed has become a bucket, or is gone: see which. */
bool thr_cells_is_alone(const struct thr_cells *cells, const struct thr_claim *claim)
{
	for (size_t i = 0; i < THR_KEY_CELLS; i++) {
		struct thr_cell *cell = cell_at(cells, i);
		struct thr_cell seen;

		if (cell == claim->cell)
			continue;
		do {
			seen = thr_cell_read(cell);
			if (seen.tag == cells->tag)
				return false;
		} while (seen.tag == (cells->tag | CLAIMED) &&
			 !thr_cell_swap(cell, seen, (struct thr_cell){0}));
	}
	return true;
}

bool thr_cells_commit(const struct thr_cells *cells, const struct thr_claim *claim, uint64_t state)
{
	return thr_cell_swap(claim->cell, claim->content, (struct thr_cell){cells->tag, state});
}

void thr_cells_let_go(const struct thr_claim *claim)
{
	thr_cell_swap(claim->cell, claim->content, (struct thr_cell){0});
}
