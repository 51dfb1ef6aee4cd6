/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One Redis as the store uses it: the client, the takings and the quotas, by one set of
 * settings. Other settings make another one; the one before ends when nobody waits for it.
 */
#ifndef THR_REMOTE_H
#define THR_REMOTE_H

#include "store/shared.h"
#include "store/sync.h"

struct thr_remote;

/* `before`, NULL or what was used so far, leaves what it knows of the quotas to the new one
 * if both are the same database. Returns 0, or a negative errno with `error` set and nothing
 * changed. */
int thr_remote_new(const struct thr_store_parts *parts, const struct thr_redis_settings *settings,
		   struct thr_remote *before, struct thr_remote **ret_remote,
		   struct thr_error *error);

/* Nothing is called back. NULL-safe. */
void thr_remote_free(struct thr_remote *remote);

/* Free it once nobody waits for it, and take it out of `list` then. */
void thr_remote_retire(struct thr_remote *remote, struct thr_link *list);

/* Free those of a list of retired ones. */
void thr_remote_free_retired(struct thr_link *list);

bool thr_remote_has(const struct thr_remote *remote, const struct thr_redis_settings *settings);

struct thr_shared *thr_remote_shared(struct thr_remote *remote);
struct thr_sync *thr_remote_sync(struct thr_remote *remote);
const struct thr_quotas *thr_remote_quotas(const struct thr_remote *remote);
bool thr_remote_has_all_quotas(const struct thr_remote *remote);
enum thr_breaker thr_remote_breaker(const struct thr_remote *remote);

#endif
