/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The daemon's own families: what the master put on the board. */
#ifndef THR_DAEMON_METRICS_H
#define THR_DAEMON_METRICS_H

#include "core/metrics.h"
#include "daemon/board.h"

/* `workers` is how many there are to be. */
void thr_metrics_write_facts(const struct thr_board *board, unsigned int workers,
			     struct thr_metrics *metrics);

#endif
