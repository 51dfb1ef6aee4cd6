/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Quotas: the limits that were set for keys of the check API (PUT /config/{key}), in a
 * table of fixed size that one process changes and any number read, without a lock.
 *
 * With the memory store the master is that process, and its table is in shared memory
 * that workers can only read; what it holds is on disk before it is here. With Redis each
 * worker has a table of its own, which follows what is in Redis.
 */
#ifndef THR_QUOTAS_H
#define THR_QUOTAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/hash.h"
#include "core/slice.h"
#include "core/standing.h"
#include "store/memory.h"

#define THR_KEY_MAX 256 /* bytes of a key */

/* The key whose quota applies to all that have none. */
#define THR_QUOTA_DEFAULT "default"

struct thr_quota {
	uint64_t capacity;
	double refill_per_s;
	enum thr_on_error on_error;
	uint64_t version; /* what its ETag is made of, never given twice; 0: it was not set */
	struct thr_store_limit limit; /* the first two, in the units of thr_bucket.h */
};

/*
 * Fill all but the version. Returns 0, or -ERANGE with *ret_quota unchanged and
 * *ret_why, a static phrase, saying what would be right: the capacity is 1 to 2^40, and
 * the two pass thr_refill_check().
 */
int thr_quota_make(uint64_t capacity, double refill_per_s, enum thr_on_error on_error,
		   struct thr_quota *ret_quota, const char **ret_why);

/* Under which version a change may be made: RFC 9110, 13.1. */
#define THR_VERSIONS_MAX 8
struct thr_condition {
	enum { THR_ALWAYS, THR_IF_MATCH, THR_IF_NONE_MATCH } kind;
	bool any; /* "*" */
	uint8_t count;
	uint64_t version[THR_VERSIONS_MAX];
};

/* Whether it holds where the version in force is `version` (0: there is none). */
bool thr_condition_holds(const struct thr_condition *condition, uint64_t version);

struct thr_quotas;

/* A table for `max` keys. With `shared`, in memory that processes forked from now on have
 * too. Returns 0 or a negative errno. */
int thr_quotas_new(uint64_t max, bool shared, struct thr_quotas **ret_quotas);
void thr_quotas_free(struct thr_quotas *quotas); /* NULL-safe */

/* In a process that forked: from now on, and for good, it can only read the table. */
int thr_quotas_read_only(struct thr_quotas *quotas);

/* The quota of exactly this key; false: it has none. `hash` is of the key, always
 * with the same secret. */
bool thr_quotas_find(const struct thr_quotas *quotas, const struct thr_hash *hash,
		     struct thr_slice key, struct thr_quota *ret_quota);

/* Set, or replace. Returns 0, or -ENOSPC with nothing changed. Only for the one process
 * that changes it. */
int thr_quotas_set(struct thr_quotas *quotas, const struct thr_hash *hash, struct thr_slice key,
		   const struct thr_quota *quota);

/* Returns whether there was one. */
bool thr_quotas_remove(struct thr_quotas *quotas, const struct thr_hash *hash,
		       struct thr_slice key);

/* Keys that have one, in any process; and the most. */
uint64_t thr_quotas_count(const struct thr_quotas *quotas);
uint64_t thr_quotas_max(const struct thr_quotas *quotas);

/*
 * The first one at or after the place `from` (0 at first). Returns the place to go on from,
 * or 0: there is none, and nothing is set. The key is valid until the table is changed. Only
 * in the process that changes it. What is set or removed between two calls may be found or
 * not, all others are found once.
 */
uint64_t thr_quotas_next(const struct thr_quotas *quotas, uint64_t from, struct thr_slice *ret_key,
			 struct thr_quota *ret_quota);

/*
 * Up to `most` of those that are set, with the lowest versions from `from` on and in their
 * order, in any process; returns how many. What is changed meanwhile gets a higher version. So
 * who asks again from the version after the last one finds all once, but for what was set,
 * changed or removed since the first call.
 */
struct thr_quota_place {
	uint64_t version;
	uint64_t at; /* for thr_quotas_read() */
};
size_t thr_quotas_list(const struct thr_quotas *quotas, uint64_t from, size_t most,
		       struct thr_quota_place *ret_list);

/* What is set there, with its key in `bytes`: as it was listed, or what is there since. */
struct thr_slice thr_quotas_read(const struct thr_quotas *quotas,
				 const struct thr_quota_place *place,
				 char bytes[static THR_KEY_MAX], struct thr_quota *ret_quota);

/* Call for each; only in the process that changes it. The key is valid in the call. */
void thr_quotas_each(const struct thr_quotas *quotas,
		     void (*visit)(void *context, struct thr_slice key,
				   const struct thr_quota *quota),
		     void *context);

#endif
