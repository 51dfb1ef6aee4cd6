/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The store of one worker: who asks for tokens asks it, and does not know where the
 * buckets are.
 *
 *   proxy, api -> store -> memory        of this machine: an answer at once
 *                       -> shared.h      Redis: an answer at once where one is known (denied
 *                            |           until, leased, the breaker open), else when it comes
 *   api -> quotas       -> sync.h        Redis: a replica, which follows what is set there
 *                            |
 *                          redis.h       the client; remote.h has all three
 *
 * A worker has one, on its loop; nothing here blocks. While Redis cannot be asked, what a
 * limit's on_error says decides, and the answer says that it is degraded.
 */
#ifndef THR_STORE_H
#define THR_STORE_H

#include "core/error.h"
#include "core/histogram.h"
#include "core/link.h"
#include "core/loop.h"
#include "core/metrics.h"
#include "core/resolve.h"
#include "core/standing.h"
#include "store/memory.h"
#include "store/quotas.h"
#include "store/redis.h"

struct thr_store;
struct thr_change;

enum thr_breaker { THR_BREAKER_CLOSED, THR_BREAKER_HALF_OPEN, THR_BREAKER_OPEN };

/* Counters of a worker, in shared memory: written by it alone, read by all. */
struct thr_store_counts {
	uint64_t allowed, denied; /* takings, by what was answered; peeks are not counted */
	/* of them, those that Redis could not be asked for */
	uint64_t degraded_allowed, degraded_denied;
	uint64_t known;	      /* of them, denied or leased without a call */
	uint64_t calls;	      /* of the bucket script, each for one or more takings */
	uint64_t commands;    /* sent to Redis, all of them */
	uint64_t call_errors; /* error replies, lost connections, of all commands */
	uint64_t call_timeouts;
	uint64_t opened;    /* how often a breaker opened */
	uint64_t breaker;   /* now: enum thr_breaker, of the worst node */
	uint64_t instances; /* that share the limits, this one included; 0: no Redis */
	uint64_t quotas;    /* in Redis; 0 until this worker has read them all */
	uint64_t denies_ns; /* when a limit was asked for last that denies without Redis, by the
			     * monotonic clock; 0: never */
	struct thr_histogram call; /* from sending to the reply */
} __attribute__((aligned(128)));

struct thr_store_parts {
	struct thr_loop *loop;
	struct thr_memory *buckets;
	struct thr_quotas *quotas; /* of this machine, which only the master changes */
	struct thr_resolver *resolver;
	struct thr_store_counts *counts;
	/* Of all workers of this machine, itself included; may be none where it is alone. */
	const struct thr_store_counts *all_counts;
	unsigned int workers;
	uint64_t instance; /* random, the same for all workers of this start */

	/* Say what happened to Redis: one line a change of state. */
	void (*tell)(void *context, bool bad, const char *text);
	/* Put a change of a quota on disk and in force: thr_store_changed() is called then, not
	 * before this returns. */
	void (*keep)(void *context, struct thr_change *change);
	void *context;
};

/* What a configuration says of it. */
struct thr_store_settings {
	struct thr_quota fallback;		/* for keys, while nothing is set for `default` */
	const struct thr_redis_settings *redis; /* NULL: memory */
};

int thr_store_new(const struct thr_store_parts *parts, struct thr_store **ret_store);

/* What waits is never called, and the loop does not turn any more. NULL-safe. */
void thr_store_free(struct thr_store *store);

/* Copies the settings. Takings that wait end by what they began with. Returns 0, or a
 * negative errno with `error` set and nothing changed. */
int thr_store_configure(struct thr_store *store, const struct thr_store_settings *settings,
			struct thr_error *error);

/* Whether buckets are shared with other machines: names are needed then. */
bool thr_store_is_shared(const struct thr_store *store);

/* The secret to hash keys with. */
const struct thr_hash_key *thr_store_hash_key(const struct thr_store *store);

/* --- tokens --- */

struct thr_ask {
	/* What is asked for; a shared store copies the name, which may go after. */
	struct thr_memory_key key;
	struct thr_slice name; /* of the bucket, in Redis, without the prefix; where shared */
	struct thr_store_limit limit;
	enum thr_on_error on_error;
	uint64_t cost; /* at most the burst; 0: only look */

	/* The answer. */
	struct thr_standing standing;
	bool degraded;
	bool grouped; /* not by a bucket of the key alone: the table of this machine is full */

	/* Called once, when it was not answered at once. */
	void (*done)(struct thr_ask *ask);

	/* the store's own */
	struct thr_link item, due;
	void *flight; /* NULL: it does not wait; the caller's to set, the store's to change */
	uint64_t asked_ns;
	uint32_t run;
};

/* Ask. Returns true when it is answered; false when `done` will be called, in another
 * turn at the earliest, and in time: settings->deadline. */
bool thr_store_ask(struct thr_store *store, struct thr_ask *ask);

/* The answer is not wanted any more; tokens may be gone. Nothing when it does not wait. */
void thr_store_cancel(struct thr_store *store, struct thr_ask *ask);

/* The worker is about to end: give back what was taken ahead, and take nothing ahead any more;
 * and whether that is still on its way, which it is for no longer than the deadline. */
void thr_store_drain(struct thr_store *store);
bool thr_store_is_draining(const struct thr_store *store);

/* --- quotas --- */

/* The quota of a key, else that of `default`, else the configuration's: never fails.
 * Returns whether it is the key's own. `hash` by thr_store_key_hash(). */
bool thr_store_quota(const struct thr_store *store, const struct thr_hash *hash,
		     struct thr_slice key, struct thr_quota *ret_quota);

/* All that is set, to be listed; NULL: Redis was never read to its end, so that is not known.
 * Valid until the loop turns. */
const struct thr_quotas *thr_store_quotas(const struct thr_store *store);

/* The hash of a key of the check API, and the key of its bucket. */
struct thr_hash thr_store_key_hash(const struct thr_store *store, struct thr_slice key);
void thr_store_check_key(const struct thr_store *store, const struct thr_hash *hash,
			 const struct thr_quota *quota, struct thr_memory_key *ret_key);

enum thr_change_kind { THR_QUOTA_GET, THR_QUOTA_PUT, THR_QUOTA_DELETE };

enum thr_change_result {
	THR_CHANGE_DONE,     /* got, replaced, deleted */
	THR_CHANGE_CREATED,  /* put where there was none */
	THR_CHANGE_ABSENT,   /* got or deleted where there is none */
	THR_CHANGE_CONFLICT, /* the condition does not hold */
	THR_CHANGE_FULL,     /* there are as many as there may be */
	THR_CHANGE_FAILED,   /* `why` says what; whether it is in force is not known when it timed
			      * out, and not otherwise */
};

/* Reading or changing what is set for a key; exactly that, without a default. */
struct thr_change {
	enum thr_change_kind kind;
	struct thr_slice key; /* the caller's, until it is done */
	struct thr_hash hash;
	struct thr_quota quota; /* to put; as got, or with its new version, when it is done */
	struct thr_condition condition;

	enum thr_change_result result;
	char why[160];

	void (*done)(struct thr_change *change); /* as of a struct thr_ask */
	struct thr_link item;
	uint64_t number;
	void *owner; /* the store's, or whoever keeps it */
};

/* Begin. Returns true when it is done already. */
bool thr_store_change(struct thr_store *store, struct thr_change *change);

/* The caller goes away: `done` is not called, the change may happen. */
void thr_store_forget(struct thr_store *store, struct thr_change *change);

/* What `keep` was handed has come to change->result: calls change->done, unless it was
 * forgotten, in which case `change` must not be touched any more by the keeper: it looks
 * a change up by its number. */
void thr_store_changed(struct thr_store *store, uint64_t number, enum thr_change_result result,
		       uint64_t version, const char *why);

/* Of what `keep` was handed and is neither done nor forgotten, the first one after `number`:
 * numbers begin at 1 and go up by one. NULL: there is none. */
const struct thr_change *thr_store_kept_after(const struct thr_store *store, uint64_t number);

/* --- how it is --- */

/* Of this machine, whichever of its workers is asked: whether Redis is away for any of them; and
 * whether limits are decided as they ask for, which they are not while it is and a limit says
 * deny that any of them was asked for within the last minute. */
bool thr_store_is_degraded(const struct thr_store *store);
bool thr_store_is_ready(const struct thr_store *store);

/* It knows what is set for keys: false until Redis has told all of it. */
bool thr_store_has_quotas(const struct thr_store *store);

/* The families of the store: counts of `workers` workers, of the first of which `counts`
 * is. With `shared`, those of Redis too. */
void thr_store_write_metrics(const struct thr_store_counts *counts, unsigned int workers,
			     const struct thr_memory *buckets, bool shared,
			     struct thr_metrics *metrics);

#endif
