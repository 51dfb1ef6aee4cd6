/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The bounds; see histogram.h. */
#include "core/histogram.h"

#define US 1000ULL
#define MS 1000000ULL
#define S 1000000000ULL

const uint64_t thr_histogram_bound_ns[THR_HISTOGRAM_BOUNDS] = {
	50 * US, 100 * US, 250 * US, 500 * US, 1 * MS,	 2500 * US, 5 * MS, 10 * MS,
	25 * MS, 50 * MS,  100 * MS, 250 * MS, 500 * MS, 1 * S,	    5 * S,  10 * S,
};
