/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is set for keys, with the memory store: the table that workers read, the file in which
 * it outlives the daemon, and the changes that workers ask for.
 *
 *   change -> waiting -> batch -> judged, in order -> file, on disk -> table -> answers
 *                                                  (a thread of its own)
 *
 * A change is answered when it is on disk, and in force only then: so no check ever goes by a
 * limit that a crash could take back. While the file of a batch is written, further changes
 * wait for the next one, so that a slow disk makes batches larger and not more numerous.
 *
 * One process writes the file: two would each put back what the other has changed. It is
 * locked from before it is read until the state is freed, which is when the last worker has
 * ended.
 *
 * Conditions (If-Match) are judged against the table and the changes before in the batch, one
 * after the other, so of any number of workers one is first.
 *
 * The thread reads the table and never writes it; the loop changes it between two batches.
 * Nothing in the thread takes a lock that a fork() could leave taken in a worker, but for
 * those that the C library itself sees to.
 */
#ifndef THR_STATE_H
#define THR_STATE_H

#include "core/error.h"
#include "core/loop.h"
#include "store/store.h"

struct thr_state;

struct thr_state_change {
	unsigned int worker; /* who asks, and by what number */
	uint64_t number;
	enum thr_change_kind kind; /* not THR_QUOTA_GET */
	struct thr_quota quota;	   /* to put */
	struct thr_condition condition;
	size_t key_length;
	char key[THR_KEY_MAX]; /* thr_state_key_fits() */
};

struct thr_state_answer {
	unsigned int worker;
	uint64_t number;
	enum thr_change_result result;
	uint64_t version; /* of what was put */
	const char *why;  /* static, or valid in the call; "" */
};

struct thr_state_parts {
	struct thr_loop *loop;
	struct thr_quotas *quotas; /* empty; this is its only writer */
	const struct thr_hash_key *secret;
	const char *path;
	/* Called once for each change that was not forgotten, not before thr_state_change()
	 * has returned. */
	void (*answer)(void *context, const struct thr_state_answer *answer);
	void *context;
};

/* Take the file for this process alone, and read it into the table. Returns 0 or a negative errno
 * with `error` set. */
int thr_state_new(const struct thr_state_parts *parts, struct thr_state **ret_state,
		  struct thr_error *error);

/* Waits for the file that is being written; nobody is answered. NULL-safe. */
void thr_state_free(struct thr_state *state);

const char *thr_state_path(const struct thr_state *state);

/* Returns 0 or -ENOMEM: there will be no answer. */
int thr_state_change(struct thr_state *state, const struct thr_state_change *change);

/* The worker is gone: its changes may happen, and are not answered. */
void thr_state_forget(struct thr_state *state, unsigned int worker);

#endif
