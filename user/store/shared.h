/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Takings from buckets that lie in Redis, for one worker: as few calls as can be, none that
 * could let more pass than the limit, and nobody who waits longer than the deadline.
 *
 *   asked --- leased tokens left -------------------------------------------> allowed
 *     |   '-- the bucket cannot hold enough yet, by what Redis said last -----> denied
 *     |   '-- the breaker is open ------------------------------------------> degraded
 *     v
 *   waits, with all that ask for its key -- end of the turn --> flight -- reply --> judged
 *     |            ^                            one a key          |
 *     |            '--- those that came meanwhile go next ---------'
 *     |                 (many: when most of the others are back)
 *     '--- not answered within the deadline -------------------------------> degraded
 *
 * A flight is one call of the script TAKE for all takings that wait for a key, as runs of
 * equal ones. The script takes as many of each run as conform and answers with the debt
 * before; the same judgement is made again here, by thr_bucket.h, to give every taking its
 * own answer. The two agree to the tick (scripts.h). Who left meanwhile has been judged in
 * Redis all the same: its token goes to another of its run.
 *
 * The debt after a reply, counted from the moment at which the call was sent, is a lower
 * bound of the debt from then on, since others only take. So what cannot conform by it is
 * denied here, for at most a second: leases that come back, and Redis losing its memory,
 * lower the debt.
 *
 *   shared.c        asks and deadlines
 *   shared_flight.c calls and replies
 *   shared_keys.c   what is known of keys: bounded
 *   shared_lease.c  tokens taken ahead
 *   degraded.c      answers without Redis
 */
#ifndef THR_SHARED_H
#define THR_SHARED_H

#include "store/scripts.h"
#include "store/store.h"

struct thr_shared;

struct thr_shared_parts {
	const struct thr_store_parts *store;
	struct thr_redis *redis;
	const struct thr_redis_script *scripts; /* by enum thr_script */
	const char *key_prefix;			/* copied */
	uint64_t deadline_ms;
	uint64_t lease; /* tokens; 0: none */
};

/* Returns 0 or a negative errno. The client outlives it. */
int thr_shared_new(const struct thr_shared_parts *parts, struct thr_shared **ret_shared);

/* Take over what `before`, with other settings of the same Redis, knows of the instances. */
void thr_shared_inherit(struct thr_shared *shared, const struct thr_shared *before);

/* Nothing is called. NULL-safe. */
void thr_shared_free(struct thr_shared *shared);

/* As thr_store_ask() and thr_store_cancel(). */
bool thr_shared_ask(struct thr_shared *shared, struct thr_ask *ask);
void thr_shared_cancel(struct thr_ask *ask);

/* Give back all that was leased, and lease nothing any more. */
void thr_shared_end_leases(struct thr_shared *shared);

/* Whether what is given back is on its way, or calls are whose leases will be. */
bool thr_shared_is_returning(const struct thr_shared *shared);

/* Whether somebody waits for an answer, or it is to be called at the end of the turn; or
 * something is on its way back. */
bool thr_shared_is_busy(const struct thr_shared *shared);

/* How many instances share the limits, for degraded answers. */
void thr_shared_set_instances(struct thr_shared *shared, uint64_t instances);

/* Whether all that is set for keys is known: else limits may be others than they should be,
 * and nothing that a bucket owes beyond them is forgotten. */
void thr_shared_set_informed(struct thr_shared *shared, bool is_informed);

/* What is known of buckets does not hold any more: Redis lost its memory, or was away. */
void thr_shared_distrust(struct thr_shared *shared);

#endif
