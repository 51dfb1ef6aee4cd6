/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The master: what of `run` keeps its privileges and talks to no stranger.
 *
 *            SIGHUP, SIGTERM, SIGCHLD, ...
 *                     |
 *     file -> +--------------+   listeners   (one a worker, open here as long as
 *             |    master    |                the address is served)
 *             +--------------+   shared memory: buckets, counters, targets, quotas
 *               | channel  |
 *          worker 1  ...  worker n
 *
 * daemon.c composes it, master.c has its phases, slot.c keeps the workers running, fronts.c
 * has what clients connect to, lend.c has others accept for a worker that is down, reload.c
 * changes the configuration under them, changes.c what is set for keys, board.h tells them
 * what they show in metrics, heed.c takes what they say of clients to the packet layer,
 * descriptors.c sees to how many files they may open.
 *
 * One thread beside those of the log. It waits for nobody: every descriptor is watched by
 * its loop, and a worker that does not answer in time is replaced. What is to be done is
 * done first, and then said.
 *
 *   STARTING -> SERVING <-> RELOADING
 *       |          |            |
 *       +----------+-> DRAINING <        ends when the last worker has
 */
#ifndef THR_MASTER_H
#define THR_MASTER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/error.h"
#include "core/loop.h"
#include "daemon/generation.h"
#include "daemon/privileges.h"
#include "api/api.h"
#include "daemon/board.h"
#include "daemon/listener.h"
#include "daemon/notes.h"
#include "daemon/socket_file.h"
#include "daemon/state.h"
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
	/* Without a worker: when to start one. With one that was asked: when to give it
	 * up. With one that is behind: when to ask it again. */
	struct thr_timer timer;
	bool asked;		  /* a CONFIG is not answered yet */
	bool behind;		  /* it could not take the last one, and has the one before */
	bool deaf;		  /* it took no more messages, and is being killed */
	uint64_t generation;	  /* that the worker serves by; 0: none yet */
	uint64_t answered;	  /* the last that it took or could not take */
	uint64_t turn_ms;	  /* of its loop, when that was looked at last */
	unsigned int still;	  /* looks in a row for which that did not change */
	unsigned int changes;	  /* of quotas that it waits for */
	int listener[THR_FRONTS]; /* -1: nothing is served */
	int retired[THR_FRONTS];  /* those of the generation before, during a reload */
	/* Slots whose workers have the listeners meanwhile, or NOBODY. */
	unsigned int borrower[THR_FRONTS];
	unsigned int ask_next; /* where the search for a borrower begins */
};

struct thr_master {
	const char *path;
	enum thr_phase phase;
	struct thr_loop *loop;
	struct thr_io signals;
	struct thr_timer deadline; /* of draining */
	struct thr_timer look;	   /* at the workers, once a second */
	struct thr_timer again;	   /* a reload that waits for the lock */
	struct thr_timer heed;	   /* what workers say of clients, and: */
	struct thr_notes *notes;
	struct thr_heard *heard;
	unsigned int tries; /* of that reload */
	struct thr_generation *generation;
	struct thr_memory *buckets;
	struct thr_quotas *quotas;
	struct thr_state *state; /* NULL: the configuration has had no need of it yet */
	struct thr_board *board;
	struct thr_facts facts; /* that are on it */
	struct thr_socket_file file[THR_FRONTS], retired_file[THR_FRONTS];
	/* one for each slot: */
	struct thr_proxy_counts *counts;
	struct thr_store_counts *store_counts;
	struct thr_api_counts *api_counts;
	void *route_counts; /* of all of them: thr_proxy_route_counts_size() */
	uint64_t instance;  /* random */
	struct thr_run_as run_as;
	unsigned int worker_count;
	struct thr_slot *slots;
	bool reload_wanted;
	int result; /* why it could not start, as a negative errno, with */
	struct thr_error *error;
};

/* Whether a file says something, and not the environment alone. */
bool thr_master_has_file(const struct thr_master *master);

/* Put what has become of it where workers read it. */
void thr_master_publish(struct thr_master *master);

/* The signals that the master reads, to be blocked before thr_master_run(). */
void thr_master_signals(sigset_t *ret_set);

/* Start the workers on master->loop and keep them running, until the end. Returns 0, or a
 * negative errno with master->error set when they could not all be started. */
int thr_master_run(struct thr_master *master);

/* Go on to the next phase when every worker has answered to the generation: one that
 * is down gets it when it starts. */
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

/* To be called once a second: kill workers whose loop has stood still for half a minute,
 * and lend what could not be lent before. */
void thr_slots_look(struct thr_master *master);

/* The worker has the configuration in force, or had it when it was asked last. */
bool thr_slot_is_serving(const struct thr_slot *slot);

/* --- lend.c --- */

/* Lend the listeners of slots that do not serve to workers that have the configuration in
 * force; take back what is lent. */
void thr_slots_lend(struct thr_master *master);
void thr_slots_recall(struct thr_master *master, enum thr_front front);

/* Take back what it lent, or what it borrowed. */
void thr_slot_take_back(struct thr_slot *slot);
void thr_slot_give_back(const struct thr_slot *slot);

/* Have listeners that listen and do not block, where something is served. */
void thr_slot_mend_listeners(struct thr_slot *slot);

/* The worker is gone: what it had and what it borrowed is mended, and may be lent. */
void thr_slot_return_listeners(struct thr_slot *slot);

/* --- fronts.c --- */

/* Where the configuration serves a front; false: nowhere. */
bool thr_front_find(const struct thr_master *master, const struct thr_config *config,
		    enum thr_front front, struct thr_endpoint *ret_endpoint);

/* Listeners on their way in: for each front that moves, one for each worker, or -1. */
struct thr_new_fronts {
	bool moves[THR_FRONTS];
	struct thr_socket_file file[THR_FRONTS];
	int *fds;
};

/* Open what `config` serves and `old` (NULL: nothing) does not serve in the same place.
 * Returns 0, or a negative errno with `error` set and nothing open. */
int thr_fronts_open(const struct thr_master *master, const struct thr_config *old,
		    const struct thr_config *config, struct thr_new_fronts *ret_fronts,
		    struct thr_error *error);
void thr_fronts_drop(const struct thr_master *master, struct thr_new_fronts *fronts);

/* Put them in force; those of before are retired until thr_fronts_retire(). */
void thr_fronts_put(struct thr_master *master, struct thr_new_fronts *fronts);
void thr_fronts_retire(struct thr_master *master);

/* Close all there are. */
void thr_fronts_close(struct thr_master *master);

/* --- changes.c --- */

/* Read the state file, where `config` needs it and it was not read yet; refuse another one than
 * that. Returns 0, or a negative errno with `error` set. */
int thr_changes_open(struct thr_master *master, const struct thr_config *config,
		     struct thr_error *error);

/* As if it had not been read, for a configuration that does not come into force. */
void thr_changes_close(struct thr_master *master);

/* Say how many quotas of the state file are not in force, where `config` is the first to keep them
 * in Redis: the one in force, at the start, or the next one. */
void thr_changes_warn(const struct thr_master *master, const struct thr_config *config);

/* A worker wants a quota changed. Returns 1, or -EPROTO when that makes no sense, or it waits
 * for THR_CHANGES_MAX already. */
struct thr_message_change;
int thr_changes_hear(struct thr_slot *slot, const struct thr_message_change *message);

/* The worker is gone, and its answers are not wanted. */
void thr_changes_forget(struct thr_slot *slot);

/* --- heed.c --- */

/* Make what master->worker_count workers write to. Returns 0 or a negative errno. */
int thr_heed_new(struct thr_master *master);
void thr_heed_free(struct thr_master *master); /* also what was not made */

/* Look at what they write from now on, a few times a second, for as long as the configuration
 * in force asks for it. */
void thr_heed_watch(struct thr_master *master);

/* Whether a note, which may be a stranger's, says something that the configuration asks for;
 * its time is cut to the longest that it may be in force. */
bool thr_heed_judge(const struct thr_config *config, struct thr_note *note, uint64_t now_ns);

/* --- reload.c --- */

/* Read the file again and put it in force, or change nothing and say why. The
 * workers have it once the phase is not RELOADING any more. */
void thr_reload_begin(struct thr_master *master);

/* The same, when master->again fires. */
void thr_reload_again(struct thr_timer *timer);

/* Every worker has it, or has said that it cannot take it now. */
void thr_reload_end(struct thr_master *master);

/* What of the configuration, and of what was kept for it, is not acted on. */
void thr_reload_warn(const struct thr_master *master, const struct thr_config *config);

/* --- descriptors.c --- */

/* Let the master, and its workers from the next one or those that run on, open what
 * `config` takes; warn where the system does not. */
void thr_descriptors_raise(const struct thr_master *master, const struct thr_config *config);

#endif
