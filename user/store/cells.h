/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Cells that any number of threads and processes change at the same time without a
 * lock, in which a key never has two buckets and a bucket is never forgotten while
 * its key is in debt.
 *
 * A cell is 16 bytes, a tag (64 bits of the key's hash) and the bucket's state, and
 * is only ever changed as a whole, by a 16-byte compare-and-swap. That one decision
 * makes each step safe alone: who takes a token finds out in the same instruction
 * when the cell has gone to another key, and who gives a cell to another key finds
 * out when a token was taken from it.
 *
 *      free --- claim ---> claimed by T --- commit ---> bucket of T --.
 *       ^                       |                  ^          |       | takings
 *       '---- let go, or killed '                  |          '-------'
 *                                                  '-- claimed by another key once
 *                                                      it is forgettable
 *
 * Claimed is the tag's low bit, which a bucket's tag does not have. A cell is
 * forgettable once its state lies THR_CLOCK_SKEW in the past: the bucket has been
 * full by every clock, so a new one says the same. That is also how a claim ends
 * whose process died: its state is about the time that it was made at.
 *
 * One bucket a key: (1) find the key's bucket in its 16 cells; (2) when there is
 * none, claim a forgettable cell; (3) look again: let the claim go when there is a
 * bucket now, kill other claims of the key; (4) commit the claim, which fails when
 * it was killed: start again. Of two who claim at once, the one that looks last sees
 * the other's claim, which it kills, or the other's bucket, which it uses. The state
 * of a claim never comes twice, so no commit can take another's claim for its own.
 * Compare-and-swap is a full barrier, loads are sequentially consistent.
 *
 * The 16 cells are two runs of 8, two cache lines each, by two parts of the hash, and
 * a claim is made in the emptier run (the power of two choices; Azar and others,
 * 1994): with 8 keys in use for 9 cells, 0.8 % of them find no room (with one run of
 * 16: 4.4 %), with 6 for 9 none.
 *
 * Times are ticks of thr_bucket.h.
 */
#ifndef THR_CELLS_H
#define THR_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/hash.h"

#define THR_LINE_CELLS 4 /* of 16 bytes in a cache line of 64 */
#define THR_RUN_CELLS 8
#define THR_KEY_RUNS 2
#define THR_KEY_CELLS (THR_KEY_RUNS * THR_RUN_CELLS)

struct thr_cell {
	uint64_t tag; /* 0: free */
	uint64_t state;
} __attribute__((aligned(16)));

struct thr_cell_table {
	struct thr_cell *cells;
	uint64_t lines; /* at least 2 */
};

/* The cells in which a key may have its bucket. */
struct thr_cells {
	struct thr_cell *run[THR_KEY_RUNS];
	uint64_t tag; /* of its bucket */
};

/* What is there. The state is read first: it is then that of the tag, or of an owner
 * before, and that one was forgettable, so that nobody is refused for it; a swap
 * finds out. */
struct thr_cell thr_cell_read(const struct thr_cell *at);

/* Put `then` in the place of `seen`; false, with nothing changed, when something else
 * is there. */
bool thr_cell_swap(struct thr_cell *at, struct thr_cell seen, struct thr_cell then);

struct thr_cells thr_cells_of(const struct thr_cell_table *table, const struct thr_hash *hash);

/* The key's bucket, or NULL. */
struct thr_cell *thr_cells_find(const struct thr_cells *cells);

/* Whether the key has a bucket, or somebody claims a cell for one. */
bool thr_cells_has_any(const struct thr_cells *cells);

/* A forgettable cell to claim, or NULL; and when the first one becomes so, which
 * is only of use when there is none. */
struct thr_cell *thr_cells_room(const struct thr_cells *cells, uint64_t now);
uint64_t thr_cells_room_at(const struct thr_cells *cells);

/* About how many cells hold a bucket that is not forgettable: all of a small table are looked
 * at, and of a large one a part. Where a bucket lies is up to a hash, so any part says what
 * the whole does, within 1 % of it; and what nobody used stays untouched, and takes no memory. */
uint64_t thr_cells_used(const struct thr_cell_table *table, uint64_t now);

/* The steps (2) to (4). `nonce` is a number that no other claim within some minutes
 * has in its low 22 bits. */
struct thr_claim {
	struct thr_cell *cell;
	struct thr_cell content;
};

bool thr_cells_claim(const struct thr_cells *cells, struct thr_cell *cell, uint64_t now,
		     uint64_t nonce, struct thr_claim *ret_claim);
bool thr_cells_is_alone(const struct thr_cells *cells, const struct thr_claim *claim);
bool thr_cells_commit(const struct thr_cells *cells, const struct thr_claim *claim, uint64_t state);
void thr_cells_let_go(const struct thr_claim *claim);

#endif
