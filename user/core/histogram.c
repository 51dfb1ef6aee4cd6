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

/* As OpenMetrics has them written; a sample that is 5.0 here and 5 there would be two
 * series, so the older format gets the same. */
const char *const thr_histogram_bound_text[THR_HISTOGRAM_BOUNDS + 1] = {
	"5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025",
	"0.05",	 "0.1",	   "0.25",    "0.5",	"1.0",	 "5.0",	   "10.0",  "+Inf",
};
