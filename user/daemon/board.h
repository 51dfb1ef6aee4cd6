/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What only the master knows and every worker shows in metrics, in memory that the master
 * writes and workers can but read. Under a sequence lock: the sequence is odd while it is
 * written, and who read an odd or a changed one reads again.
 */
#ifndef THR_BOARD_H
#define THR_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "control/challenge.h"
#include "control/stats.h"

/* Times are of the wall clock. */
struct thr_facts {
	uint64_t start_ns;
	uint64_t cpu_ns;  /* of the master and of all workers that there were */
	uint64_t serving; /* workers */
	uint64_t restarts;
	uint64_t reloaded, refused;
	bool last_good;	       /* the last reload, or the start */
	uint64_t last_good_ns; /* when one was good last */
	/* Of the packet layer: interfaces that are to have a throttle, and that have one, and
	 * the sum over these throttles. */
	uint64_t interfaces_configured, interfaces;
	struct thr_stats packets;
	enum thr_challenge challenge; /* the worst of them that challenge */
	/* Notes on clients that are in force, or are not: */
	uint64_t verified, blocked;
	uint64_t notes_dropped; /* by the master */
	uint64_t notes_lost;	/* by workers */
};

struct thr_board;

/* Returns 0 or a negative errno. */
int thr_board_new(struct thr_board **ret_board);
void thr_board_free(struct thr_board *board); /* NULL-safe */

/* In a process that forked: from now on, and for good, it can only read. */
int thr_board_read_only(struct thr_board *board);

/* For the one process that writes. */
void thr_board_write(struct thr_board *board, const struct thr_facts *facts);

/* False, with nothing filled in, when the writer ended in the middle of it. */
bool thr_board_read(const struct thr_board *board, struct thr_facts *ret_facts);

#endif
