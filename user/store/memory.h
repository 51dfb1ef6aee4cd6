/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Token buckets by key, in memory that every worker maps: bounded, lock-free, and
 * never reset but by being full again.
 *
 * A bucket is thr_bucket.h's number beside a 64-bit tag, in a table of fixed size.
 * A key may live in any of 16 cells, two runs of two cache lines. What makes room
 * is a bucket that has been full for 50 ms: forgetting it loses nothing. When all
 * 16 hold buckets in use, the key shares one bucket with the others of its group
 * (the prefix of an address) in a smaller table of the same kind, then with all that
 * share its second group; when there is no room there either, the taking is
 * refused. It never grows and never lets anything pass unlimited, and a key gains
 * nothing by moving between an own bucket and a shared one: a new bucket starts with
 * the debt of those that were shared.
 *
 * A process that dies at any instruction leaves nothing locked and at most a cell
 * that is claimed again 50 ms later. Clocks that callers judge by (a loop samples
 * its own once a turn) may differ by as much: THR_CLOCK_SKEW.
 *
 * A process that a stranger took over can write anything to the shared memory, and so
 * grant and refuse what it likes. It holds no pointer and no size, so that is all: no
 * other process comes to use an address that was found there.
 */
#ifndef THR_MEMORY_H
#define THR_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/hash.h"
#include "core/rate.h"
#include "core/standing.h"

struct thr_memory;

/* A limit in the units of thr_bucket.h. */
struct thr_store_limit {
	uint64_t interval; /* of a token, 2^-20 ns */
	uint64_t burst;
	uint64_t window; /* ticks in which a whole burst comes back */
	uint32_t per_s;	 /* as it was written */
	uint64_t count;
	uint64_t window_ns; /* the same as window, exact for the rate as it was written */
};

/* `rate` has passed thr_rate_check(). */
struct thr_store_limit thr_store_limit_of(const struct thr_rate *rate);

/* A key, hashed, and the groups that it may have to share with, each any two words that no
 * other group has: they are hashed where they are needed, which is seldom. */
struct thr_memory_key {
	struct thr_hash key;
	struct thr_hash group[2]; /* the closer one first */
};

enum thr_memory_place {
	THR_PLACE_OWN,
	THR_PLACE_GROUP,  /* the table was full: shared with the first group */
	THR_PLACE_GROUP2, /* with the second */
	THR_PLACE_NONE,	  /* refused without a bucket */
};

struct thr_memory_counts {
	uint64_t own, group, group2, none; /* takings by place since the start */
};

/* Map a table with room for `max_keys` keys in use (1 to 2^40), in shared memory that
 * processes forked from now on have too: 9/8 as many cells of 16 bytes and 1/16 of
 * that for groups, touched as used. With all of `max_keys` in use 0.8 % of them are
 * in a group's bucket, with three quarters none. Returns 0 or a negative errno. */
int thr_memory_new(uint64_t max_keys, struct thr_memory **ret_memory);

/* Unmaps it in this process, and frees this process's handle. NULL-safe. */
void thr_memory_free(struct thr_memory *memory);

/* The secret that keys are to be hashed with; the same in every process, and not in
 * the memory that they share. */
const struct thr_hash_key *thr_memory_hash_key(const struct thr_memory *memory);

/*
 * Take `cost` tokens at `now_ns` (monotonic). All or nothing; a cost over the burst
 * never conforms: retry_ns is then UINT64_MAX. Exact across threads and processes:
 * in any span of time no more conforms than the limit grants. A cost of 0 only
 * looks: allowed when one token could be taken now, else retry_ns says when; it
 * changes nothing and is not counted. *ret_standing is always filled; where there
 * is no bucket it says when one of the key's cells can be had. Returns the place.
 */
enum thr_memory_place thr_memory_take(struct thr_memory *memory, const struct thr_memory_key *key,
				      const struct thr_store_limit *limit, uint64_t cost,
				      uint64_t now_ns, struct thr_standing *ret_standing);

/* Cells in all, about how many hold a bucket that is in use, and counts over all processes:
 * for tests, and for metrics to show. */
uint64_t thr_memory_cells(const struct thr_memory *memory);
uint64_t thr_memory_used(const struct thr_memory *memory, uint64_t now_ns);
void thr_memory_count(const struct thr_memory *memory, struct thr_memory_counts *ret_counts);

#endif
