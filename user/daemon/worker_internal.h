/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The inside of a worker.
 *
 *   worker.c   the process: what it is made of, the master's word, its end
 *   intake.c   a configuration on its way in
 *   keep.c     changes of quotas on their way to the master
 */
#ifndef THR_WORKER_INTERNAL_H
#define THR_WORKER_INTERNAL_H

#include <pthread.h>

#include "daemon/message.h"
#include "daemon/worker.h"

/* Of descriptors: what a CONFIG brings, the one to parse it by, and some LISTEN. */
#define RESERVE (THR_MESSAGE_FDS + 5)

/* A configuration on its way in. The thread owns what is in it until `parsed`
 * becomes ready, the loop before and after that. */
struct incoming {
	pthread_t thread;
	struct thr_message message;
	int fds[THR_MESSAGE_FDS];
	int done; /* eventfd; -1: nothing is on its way */
	int result;
	struct thr_config *config;
	struct thr_error error;
};

/* Changes that the store has, whose numbers go up by one. */
struct keeping {
	unsigned int count; /* that the master has */
	uint64_t last;	    /* that it was given; those after it wait */
	uint64_t newest;    /* of all */
	struct thr_deferred refuse;
};

struct worker {
	const struct thr_worker_parts *parts;
	struct thr_loop *loop;
	struct thr_store *store;
	struct thr_resolver *resolver;
	struct thr_proxy *proxy;
	struct thr_api *api;
	struct thr_io channel;
	struct thr_io parsed; /* watches incoming.done */
	struct thr_timer deadline;
	struct thr_timer tick;
	struct thr_timer inform; /* whether what is set for keys is known */
	int reserve[RESERVE];	 /* -1: to be had again */
	struct incoming incoming;
	int text_fd, secrets_fd; /* of the configuration in force; -1: none */
	struct keeping keeping;
	uint64_t drain_timeout_ms;
	bool draining;
	bool out_of_time;
};

#define WORKER(pointer, member) THR_CONTAINER(pointer, struct worker, member)

/* --- worker.c --- */

/* Answer a CONFIG. */
void worker_report(const struct worker *worker, uint64_t generation, int code,
		   const struct thr_error *error);

/* Accept from the descriptor, which is the front's from now on, or closed. */
int worker_listen(struct worker *worker, enum thr_front front, unsigned int slot, int *fd);
void worker_unlisten(struct worker *worker, enum thr_front front, unsigned int slot);

void worker_hold_reserve(struct worker *worker);

/* Close the descriptors of a message. */
void worker_close(int *fds);

/* --- intake.c --- */

void intake_init(struct worker *worker);

/* Begin to take a CONFIG and its descriptors. Returns 0, or -EPROTO. */
int intake_begin(struct worker *worker, const struct thr_message *message, int *fds);

/* --- keep.c --- */

void keep_init(struct worker *worker);

/* What a store calls, with a worker; see struct thr_store_parts. */
void keep_tell(void *context, bool bad, const char *text);
void keep_change(void *context, struct thr_change *change);

/* The master's answer. */
void keep_changed(struct worker *worker, const struct thr_message_changed *changed);

/* The master is gone: nothing that it has will be answered, and nothing more is made. */
void keep_give_up(struct worker *worker);

#endif
