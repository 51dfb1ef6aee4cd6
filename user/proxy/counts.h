/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is counted of each route's requests, in memory that all workers map: a table of
 * route paths, and for each worker a column of counts that it alone writes.
 *
 *   tags     slot 0 | 1 | 2 | ... 4095     a hash of the path; claimed once, never freed
 *   worker 0 counts | counts | ...         columns of their own, so that no two workers
 *   worker 1 counts | counts | ...         write to one cache line
 *
 * The table outlives configurations, so that counters never go back while the daemon runs:
 * a route that goes and comes again finds its counts. Slot 0 has the requests that no route
 * matched, and those of routes that found no slot of their own: with up to 2,000 paths
 * since the start there are none such.
 *
 * A worker in a stranger's hands can make any number of any other; what bounds a loop or
 * leads to an address is not in the block.
 */
#ifndef THR_COUNTS_H
#define THR_COUNTS_H

#include "core/histogram.h"
#include "core/slice.h"
#include "proxy/access.h"

#define THR_ROUTE_SLOTS 4096
#define THR_STATUS_CLASSES 6 /* by the first digit; 0: the client went before an answer */
#define THR_VERDICTS (THR_VERDICT_LIMITED + 1)

struct thr_route_counts {
	uint64_t requests[THR_STATUS_CLASSES][THR_VERDICTS];
	struct thr_histogram duration;
};

/* Bytes of the block. It is zeroed memory, aligned to a page. */
size_t thr_route_counts_size(unsigned int workers);

/* The slot of a path, claimed when it has none yet: the same in every process. */
unsigned int thr_route_counts_slot(void *block, struct thr_slice path);

/* What a worker counts in a slot. */
struct thr_route_counts *thr_route_counts_of(void *block, unsigned int worker, unsigned int slot);

/* Over all workers. */
void thr_route_counts_sum(void *block, unsigned int workers, unsigned int slot,
			  struct thr_route_counts *ret_sum);

/* Count a request that is over: for its worker alone. */
static inline void thr_route_counts_add(struct thr_route_counts *counts,
					const struct thr_access *access)
{
	unsigned int status_class = access->status / 100;

	counts->requests[status_class < THR_STATUS_CLASSES ? status_class : 0][access->verdict]++;
	thr_histogram_add(&counts->duration, access->duration_ns);
}

#endif
