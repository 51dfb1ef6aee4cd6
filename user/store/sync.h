/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What instances tell each other through Redis: that they are alive, and what is set for
 * keys. Each worker asks four times a second, with one script, and keeps a replica of the
 * quotas, so that no check waits for one.
 *
 *          every 250 ms               a page of changes
 *   wait ------------> SYNC --.------------------------------> applied, the next page
 *     ^                       |
 *     |                       '-- another epoch: Redis lost its memory
 *     |                              RESTORE what the replica has, then read all
 *     '------ all read, or no answer
 *
 * The replica is only what Redis said: a change that is made here is in Redis first.
 */
#ifndef THR_SYNC_H
#define THR_SYNC_H

#include "store/scripts.h"
#include "store/store.h"

struct thr_sync;

/* What is known of Redis' quotas; it outlives a change of settings. */
struct thr_replica;

/* Returns 0 or a negative errno. */
int thr_replica_new(uint64_t max, struct thr_replica **ret_replica);
void thr_replica_free(struct thr_replica *replica); /* NULL-safe */

/* Valid until the loop turns. */
const struct thr_quotas *thr_replica_quotas(const struct thr_replica *replica);

/* Whether that has had all that is in Redis; what it has is true even while not. */
bool thr_replica_is_whole(const struct thr_replica *replica);

struct thr_sync_parts {
	const struct thr_store_parts *store;
	struct thr_redis *redis;
	const struct thr_redis_script *scripts; /* by enum thr_script */
	const char *key_prefix;			/* copied */
	struct thr_replica *replica;

	/* How many instances are alive; whether Redis lost its memory; whether the replica has
	 * had all that is there. */
	void (*heard)(void *context, uint64_t instances, bool lost, bool has_all);
	void *context;
};

/* Begins at once. Returns 0 or a negative errno. The client outlives it. */
int thr_sync_new(const struct thr_sync_parts *parts, struct thr_sync **ret_sync);

/* Changes that are on their way are not called back. The replica stays. NULL-safe. */
void thr_sync_free(struct thr_sync *sync);

/* Ask at once: Redis is there again. */
void thr_sync_now(struct thr_sync *sync);

/* Leave the replica to another; what is on its way ends. */
void thr_sync_stop(struct thr_sync *sync);

/* As thr_store_change() and thr_store_forget(). */
bool thr_sync_change(struct thr_sync *sync, struct thr_change *change);
void thr_sync_forget(struct thr_change *change);

/* Whether a change waits for its answer. */
bool thr_sync_is_busy(const struct thr_sync *sync);

#endif
