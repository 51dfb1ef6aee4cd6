/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The store's front; see store.h. */
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "store/remote.h"

/* Keys of one limit that share a bucket when the table is full: one of so many. The numbers of
 * all of them, and a burst of up to 2^40, fit a word. */
#define GROUPS (1U << 16)
#define GROUPS2 (1U << 8)
#define GROUP_SHIFT 41

/* A limit that denies without Redis counts as asked for lately for so long. */
#define DENIES_NS (60 * THR_NS_PER_S)

struct thr_store {
	struct thr_store_parts parts;
	struct thr_quota fallback;
	struct thr_remote *remote; /* NULL: memory */
	struct thr_link retired;   /* those before, for which somebody waits */
	struct thr_link changes;   /* that are being kept */
	uint64_t change_number;
	struct thr_hash default_hash;
	struct thr_hash_key check_scope; /* of the buckets of keys */
};

int thr_store_new(const struct thr_store_parts *parts, struct thr_store **ret_store)
{
	struct thr_store *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	store->parts = *parts;
	thr_link_init(&store->changes);
	thr_link_init(&store->retired);
	store->check_scope = thr_hash_scope(thr_memory_hash_key(parts->buckets), "check");
	store->default_hash = thr_store_key_hash(store, THR_SLICE(THR_QUOTA_DEFAULT));
	*ret_store = store;
	return 0;
}

void thr_store_free(struct thr_store *store)
{
	if (!store)
		return;
	thr_remote_free_retired(&store->retired);
	thr_remote_free(store->remote);
	free(store);
}

int thr_store_configure(struct thr_store *store, const struct thr_store_settings *settings,
			struct thr_error *error)
{
	const struct thr_redis_settings *redis = settings->redis;
	struct thr_remote *remote = NULL;
	int r;

	if (redis && store->remote && thr_remote_has(store->remote, redis)) {
		store->fallback = settings->fallback;
		return 0;
	}
	if (redis) {
		r = thr_remote_new(&store->parts, redis, store->remote, &remote, error);
		if (r < 0)
			return r;
	}
	if (store->remote)
		thr_remote_retire(store->remote, &store->retired);
	store->remote = remote;
	store->fallback = settings->fallback;
	store->parts.counts->breaker = THR_BREAKER_CLOSED;
	store->parts.counts->instances = 0;
	store->parts.counts->quotas = 0;
	return 0;
}

bool thr_store_is_shared(const struct thr_store *store)
{
	return store->remote;
}

const struct thr_hash_key *thr_store_hash_key(const struct thr_store *store)
{
	return thr_memory_hash_key(store->parts.buckets);
}

/* --- tokens --- */

bool thr_store_ask(struct thr_store *store, struct thr_ask *ask)
{
	if (store->remote)
		return thr_shared_ask(thr_remote_shared(store->remote), ask);
	ask->grouped = thr_memory_take(store->parts.buckets, &ask->key, &ask->limit, ask->cost,
				       thr_loop_now_ns(store->parts.loop),
				       &ask->standing) != THR_PLACE_OWN;
	ask->degraded = false;
	if (ask->cost && ask->standing.allowed)
		store->parts.counts->allowed++;
	else if (ask->cost)
		store->parts.counts->denied++;
	return true;
}

void thr_store_cancel(struct thr_store *store, struct thr_ask *ask)
{
	(void)store;
	if (ask->flight)
		thr_shared_cancel(ask);
}

void thr_store_drain(struct thr_store *store)
{
	if (store->remote)
		thr_shared_end_leases(thr_remote_shared(store->remote));
}

bool thr_store_is_draining(const struct thr_store *store)
{
	return store->remote && thr_shared_is_returning(thr_remote_shared(store->remote));
}

/* --- quotas --- */

struct thr_hash thr_store_key_hash(const struct thr_store *store, struct thr_slice key)
{
	return thr_hash(thr_memory_hash_key(store->parts.buckets), key.at, key.length);
}

void thr_store_check_key(const struct thr_store *store, const struct thr_hash *hash,
			 const struct thr_quota *quota, struct thr_memory_key *ret_key)
{
	/* Only buckets of one limit can be shared: the numbers of another mean other times. */
	uint64_t interval = quota->limit.interval, burst = quota->limit.burst;
	uint64_t group = hash->word[0] % GROUPS, group2 = GROUPS + hash->word[0] % GROUPS2;
	struct thr_hash names[2] = {{{interval, burst | group << GROUP_SHIFT}},
				    {{interval, burst | group2 << GROUP_SHIFT}}};

	ret_key->key = thr_hash_in(&store->check_scope, *hash);
	ret_key->group[0] = thr_hash_in(&store->check_scope, names[0]);
	ret_key->group[1] = thr_hash_in(&store->check_scope, names[1]);
}

/* Those in force. */
static const struct thr_quotas *quotas_of(const struct thr_store *store)
{
	return store->remote ? thr_remote_quotas(store->remote) : store->parts.quotas;
}

const struct thr_quotas *thr_store_quotas(const struct thr_store *store)
{
	if (!thr_store_has_quotas(store))
		return NULL;
	return quotas_of(store);
}

bool thr_store_quota(const struct thr_store *store, const struct thr_hash *hash,
		     struct thr_slice key, struct thr_quota *ret_quota)
{
	const struct thr_quotas *quotas = quotas_of(store);

	if (thr_quotas_find(quotas, hash, key, ret_quota))
		return true;
	if (!thr_quotas_find(quotas, &store->default_hash, THR_SLICE(THR_QUOTA_DEFAULT), ret_quota))
		*ret_quota = store->fallback;
	return false;
}

bool thr_store_change(struct thr_store *store, struct thr_change *change)
{
	if (store->remote)
		return thr_sync_change(thr_remote_sync(store->remote), change);
	if (change->kind == THR_QUOTA_GET) {
		bool found = thr_quotas_find(store->parts.quotas, &change->hash, change->key,
					     &change->quota);

		change->result = found ? THR_CHANGE_DONE : THR_CHANGE_ABSENT;
		return true;
	}
	change->number = ++store->change_number;
	change->owner = store;
	thr_link_add_last(&store->changes, &change->item);
	store->parts.keep(store->parts.context, change);
	return false;
}

void thr_store_forget(struct thr_store *store, struct thr_change *change)
{
	if (change->owner == store)
		thr_link_remove(&change->item);
	else if (change->owner)
		thr_sync_forget(change);
	change->owner = NULL;
}

void thr_store_changed(struct thr_store *store, uint64_t number, enum thr_change_result result,
		       uint64_t version, const char *why)
{
	for (struct thr_link *item = store->changes.next; item != &store->changes;
	     item = item->next) {
		struct thr_change *change = THR_CONTAINER(item, struct thr_change, item);

		if (change->number != number)
			continue;
		thr_link_remove(&change->item);
		change->owner = NULL;
		change->result = result;
		change->quota.version = version;
		snprintf(change->why, sizeof(change->why), "%s", why);
		change->done(change);
		return;
	}
}

const struct thr_change *thr_store_kept_after(const struct thr_store *store, uint64_t number)
{
	for (struct thr_link *item = store->changes.next; item != &store->changes;
	     item = item->next) {
		const struct thr_change *change = THR_CONTAINER(item, struct thr_change, item);

		if (change->number > number)
			return change;
	}
	return NULL;
}

/* --- how it is --- */

static uint64_t shared_word(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

bool thr_store_is_degraded(const struct thr_store *store)
{
	if (!store->remote)
		return false;
	for (unsigned int i = 0; i < store->parts.workers; i++)
		if (shared_word(&store->parts.all_counts[i].breaker) != THR_BREAKER_CLOSED)
			return true;
	return thr_remote_breaker(store->remote) != THR_BREAKER_CLOSED;
}

/* Another worker's clock may be ahead by a turn of its loop. */
static bool denied_lately(const struct thr_store *store, const struct thr_store_counts *counts)
{
	uint64_t denies_ns = shared_word(&counts->denies_ns);

	return denies_ns && thr_loop_now_ns(store->parts.loop) < denies_ns + DENIES_NS;
}

bool thr_store_has_quotas(const struct thr_store *store)
{
	return !store->remote || thr_remote_has_all_quotas(store->remote);
}

bool thr_store_is_ready(const struct thr_store *store)
{
	if (!thr_store_is_degraded(store))
		return true;
	for (unsigned int i = 0; i < store->parts.workers; i++)
		if (denied_lately(store, &store->parts.all_counts[i]))
			return false;
	return !denied_lately(store, store->parts.counts);
}
