/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A process that serves clients; see worker.c. */
#ifndef THR_WORKER_H
#define THR_WORKER_H

#include "api/api.h"
#include "daemon/board.h"
#include "daemon/notes.h"
#include "daemon/privileges.h"
#include "proxy/proxy.h"

struct thr_worker_parts {
	int channel;	     /* to the master */
	unsigned int number; /* from 0; people are told it from 1 */
	unsigned int workers;
	struct thr_memory *buckets;
	struct thr_quotas *quotas;
	struct thr_board *board;
	struct thr_notes *notes;
	/* The first of one for each worker. */
	struct thr_proxy_counts *counts;
	struct thr_store_counts *store_counts;
	struct thr_api_counts *api_counts;
	void *route_counts; /* of all workers */
	uint64_t instance;  /* of this start, the same for all workers */
	struct thr_run_as run_as;
};

/* What the process does after fork(). */
_Noreturn void thr_worker_run(const struct thr_worker_parts *parts);

#endif
