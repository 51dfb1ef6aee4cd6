/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The daemon's own families: what the master put on the board, and what it keeps. */
#ifndef THR_DAEMON_METRICS_H
#define THR_DAEMON_METRICS_H

#include "core/metrics.h"
#include "daemon/board.h"
#include "store/quotas.h"

/* `workers` is how many there are to be. */
void thr_metrics_write_facts(const struct thr_board *board, unsigned int workers,
			     struct thr_metrics *metrics);

/* With the memory store, whose quotas the master keeps: how many there are. With Redis, the
 * store writes the family. */
void thr_metrics_write_quotas(const struct thr_quotas *quotas, struct thr_metrics *metrics);

#endif
