/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of paths, and the columns; see counts.h. */
#include "proxy/counts.h"

#include "core/hash.h"

#define COLUMN_UNIT 128 /* columns start apart by what the prefetcher takes as a pair */

/* Places that are looked at for a path. A table that is full, which is for good, is then
 * asked for ten thousand routes in some milliseconds. */
#define PLACES 256

/* Paths come from the configuration: there is no stranger to hide anything from. */
static const struct thr_hash_key path_key = {{0x746872, 0x70617468}};

static size_t column_bytes(void)
{
	size_t bytes = THR_ROUTE_SLOTS * sizeof(struct thr_route_counts);

	return (bytes + COLUMN_UNIT - 1) / COLUMN_UNIT * COLUMN_UNIT;
}

size_t thr_route_counts_size(unsigned int workers)
{
	return THR_ROUTE_SLOTS * sizeof(uint64_t) + workers * column_bytes();
}

/* Whoever looks for a path comes by the same places in the same order, and no tag goes
 * again: two processes that claim for one path at once meet at the same free place, and
 * the later one finds the tag of the earlier. */
unsigned int thr_route_counts_slot(void *block, struct thr_slice path)
{
	struct thr_hash hash = thr_hash(&path_key, path.at, path.length);
	uint64_t *tags = block, tag = hash.word[0] ? hash.word[0] : 1;

	for (uint64_t i = 0; i < PLACES; i++) {
		unsigned int slot = 1 + (unsigned int)((hash.word[1] % (THR_ROUTE_SLOTS - 1) + i) %
						       (THR_ROUTE_SLOTS - 1));
		uint64_t seen = __atomic_load_n(&tags[slot], __ATOMIC_RELAXED);

		if (!seen && __atomic_compare_exchange_n(&tags[slot], &seen, tag, false,
							 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return slot;
		if (seen == tag)
			return slot;
	}
	return 0;
}

struct thr_route_counts *thr_route_counts_of(void *block, unsigned int worker, unsigned int slot)
{
	char *columns = (char *)block + THR_ROUTE_SLOTS * sizeof(uint64_t);

	return (struct thr_route_counts *)(columns + worker * column_bytes()) + slot;
}

void thr_route_counts_sum(void *block, unsigned int workers, unsigned int slot,
			  struct thr_route_counts *ret_sum)
{
	*ret_sum = (struct thr_route_counts){0};
	for (unsigned int worker = 0; worker < workers; worker++) {
		const struct thr_route_counts *counts = thr_route_counts_of(block, worker, slot);

		for (size_t i = 0; i < THR_STATUS_CLASSES; i++)
			for (size_t j = 0; j < THR_VERDICTS; j++)
				ret_sum->requests[i][j] +=
					__atomic_load_n(&counts->requests[i][j], __ATOMIC_RELAXED);
		thr_histogram_sum(&ret_sum->duration, &counts->duration);
	}
}
