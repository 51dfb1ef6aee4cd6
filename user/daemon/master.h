/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The master: what of `run` keeps its privileges and talks to no stranger.
 *
 *            SIGHUP, SIGTERM, SIGCHLD
 *                     |
 *     file -> +--------------+   listeners   (one a worker, open here as long as
 *             |    master    |                the address is served)
 *             +--------------+   shared memory: buckets, counters, targets
 *               | channel  |
 *          worker 1  ...  worker n
 *
 * daemon.c composes it, master.c has its phases, slot.c keeps the workers running,
 * reload.c changes the configuration under them. One thread; it waits for nobody: every descriptor
 * is watched by its loop, and a worker that does not answer in time is replaced.
 *
 *   STARTING -> SERVING <-> RELOADING
 *       |          |            |
 *       +----------+-> DRAINING <        ends when the last worker has
 */
#ifndef THR_MASTER_H
#define THR_MASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/error.h"
#include "core/loop.h"
#include "daemon/generation.h"
#include "daemon/privileges.h"
#include "proxy/proxy.h"

#define THR_NOBODY UINT32_MAX

enum thr_phase { THR_STARTING, THR_SERVING, THR_RELOADING, THR_DRAINING };

struct thr_master;

/* The place of one worker, and the worker that has it at the time. */
struct thr_slot {
	struct thr_master *master;
	unsigned int number;
	pid_t pid;	       /* 0: none */
	struct thr_io channel; /* fd -1: none */
	uint64_t born_ms;
	uint64_t pause_ms; /* of the last restart */
	/* Without a worker: when to start one. With one that has no answer given yet:
	 * when to give it up. */
	struct thr_timer timer;
	uint64_t generation;   /* that the worker serves by; 0: none yet */
	int listener;	       /* -1: nothing is served */
	int retired;	       /* the one of the generation before, during a reload */
	unsigned int borrower; /* slot whose worker has the listener meanwhile, or NOBODY */
};

struct thr_master {
	const char *path;
	enum thr_phase phase;
	struct thr_loop *loop;
	struct thr_io signals;
	struct thr_timer deadline; /* of draining */
	struct thr_generation *generation;
	struct thr_memory *buckets;
	struct thr_proxy_counts *counts; /* one for each slot */
	struct thr_run_as run_as;
	unsigned int worker_count;
	struct thr_slot *slots;
	bool reload_wanted;
	int result; /* why it could not start, as a negative errno, with */
	struct thr_error *error;
};

/* Start the workers and keep them running, until the end. Returns 0, or a negative
 * errno with master->error set when they could not all be started. */
int thr_master_run(struct thr_master *master);

/* Go on to the next phase when every worker has the generation: one that is down
 * gets it when it starts. */
void thr_master_settle(struct thr_master *master);

/* A failure of the start, which ends it; only the first one counts. */
void thr_master_fail(struct thr_master *master, int code, const char *text);

/* --- slot.c --- */

void thr_slot_init(struct thr_slot *slot, struct thr_master *master, unsigned int number);

/* Start a worker in a slot that has none. A failure is tried again later. */
void thr_slot_spawn(struct thr_slot *slot);

/* Give the worker the generation in force. */
void thr_slot_configure(struct thr_slot *slot);

/* Send to the worker; one that does not take it is killed. */
struct thr_message;
void thr_slot_tell(struct thr_slot *slot, const struct thr_message *message, const int *fds);

/* thr_slot_died() follows. Nothing where there is no worker. */
void thr_slot_kill(const struct thr_slot *slot);

/* The worker ended with `status`, as waitpid() gives it. */
void thr_slot_died(struct thr_slot *slot, int status);

/* Lend the listeners of slots that do not serve to workers that do; take back what
 * is lent. */
void thr_slots_lend(struct thr_master *master);
void thr_slots_recall(struct thr_master *master);

/* --- reload.c --- */

/* Read the file again and put it in force, or change nothing and say why. The
 * workers have it once the phase is not RELOADING any more. */
void thr_reload_begin(struct thr_master *master);

/* Every worker has it. */
void thr_reload_end(struct thr_master *master);

/* What of the configuration this version reads and does not act on. */
void thr_reload_warn(const struct thr_master *master, const struct thr_config *config);

#endif
