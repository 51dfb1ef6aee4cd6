/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The counters of the packet layer. */
#ifndef THR_STATS_H
#define THR_STATS_H

#include "control/instance.h"
#include "thr_reasons.h"

struct thr_stats {
	struct thr_count reason[THR_REASON_COUNT]; /* summed over the CPUs */
	uint64_t passed;			   /* packets, over all reasons */
	uint64_t challenged;			   /* answered in the place of the kernel */
	uint64_t dropped;
};

/* Read all counters. Each is exact; between two of them packets may have come.
 * Returns 0 or a negative errno with `error` set. */
int thr_stats_read(const struct thr_instance *instance, struct thr_stats *ret_stats,
		   struct thr_error *error);

/* The name of a reason, as in `status --json` and the metrics, and what it means. */
const char *thr_reason_name(enum thr_reason reason);
const char *thr_reason_text(enum thr_reason reason);

/* Whether packets with it are answered in the place of the kernel: what is counted of them as
 * dropped is not. */
bool thr_reason_is_answer(enum thr_reason reason);

#endif
