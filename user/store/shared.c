/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Asks and deadlines; see shared.h.
 *
 * An ask that waits is in two lists: that of its key, its flight or the finished ones, and
 * that of all who wait, in the order of their deadlines, which is that of their coming. It
 * can leave at any moment, answered or cancelled: nothing else points to it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "store/shared_internal.h"

#define BOUND_NS THR_NS_PER_S /* for how long a bound is believed */

static struct thr_ask *first_of(const struct thr_link *list)
{
	return THR_CONTAINER(list->next, struct thr_ask, item);
}

/* --- answers --- */

void thr_shared_count(struct thr_shared *shared, const struct thr_ask *ask, bool known)
{
	struct thr_store_counts *counts = shared->counts;

	if (!ask->cost)
		return;
	if (ask->standing.allowed)
		counts->allowed++;
	else
		counts->denied++;
	if (ask->degraded && ask->standing.allowed)
		counts->degraded_allowed++;
	else if (ask->degraded)
		counts->degraded_denied++;
	counts->known += known;
}

static void degrade(struct thr_shared *shared, struct thr_ask *ask)
{
	uint64_t retry_ms =
		ask->on_error == THR_ON_ERROR_DENY ? thr_redis_retry_ms(shared->redis) : 0;

	thr_degraded_answer(&shared->degraded, ask, thr_loop_now_ns(shared->loop), retry_ms);
	thr_shared_count(shared, ask, false);
}

/* `ask` waits for nothing but to be told. */
void thr_shared_finish(struct thr_shared *shared, struct thr_ask *ask)
{
	thr_link_remove(&ask->item);
	thr_link_remove(&ask->due);
	thr_link_add_last(&shared->finished, &ask->item);
}

void thr_shared_degrade_all(struct thr_shared *shared, struct thr_link *asks)
{
	while (!thr_link_is_empty(asks)) {
		struct thr_ask *ask = first_of(asks);

		degrade(shared, ask);
		thr_shared_finish(shared, ask);
	}
}

/* Who is told may ask and cancel others. */
void thr_shared_tell(struct thr_shared *shared)
{
	while (!thr_link_is_empty(&shared->finished)) {
		struct thr_ask *ask = first_of(&shared->finished);

		thr_link_remove(&ask->item);
		ask->flight = NULL;
		ask->done(ask);
	}
}

static void finish_later(struct thr_deferred *deferred)
{
	thr_shared_tell(THR_CONTAINER(deferred, struct thr_shared, finish));
}

/* --- the end of the turn --- */

/* At the end of the turn, so that all that asked in it go together. */
static void send_ready(struct thr_deferred *deferred)
{
	struct thr_shared *shared = THR_CONTAINER(deferred, struct thr_shared, send);

	while (!thr_link_is_empty(&shared->ready)) {
		struct thr_shared_key *key =
			THR_CONTAINER(shared->ready.next, struct thr_shared_key, ready);

		thr_link_remove(&key->ready);
		thr_shared_depart(shared, key);
	}
	if (!thr_link_is_empty(&shared->finished))
		thr_loop_defer(shared->loop, &shared->finish);
}

void thr_shared_make_ready(struct thr_shared *shared, struct thr_shared_key *key)
{
	thr_link_remove(&key->ready);
	thr_link_add_last(&shared->ready, &key->ready);
	thr_loop_defer(shared->loop, &shared->send);
}

/* At the end of each turn in which keys gather, which waits until the first of them is due. */
static void send_gathered(struct thr_deferred *deferred)
{
	struct thr_shared *shared = THR_CONTAINER(deferred, struct thr_shared, gather);
	uint64_t now_ns = thr_loop_now_ns(shared->loop), wait_ns = UINT64_MAX;
	struct thr_link *item = shared->gathering.next, *next;

	for (; item != &shared->gathering; item = next) {
		struct thr_shared_key *key = THR_CONTAINER(item, struct thr_shared_key, ready);

		next = item->next;
		if (key->gather_ns <= now_ns)
			thr_shared_call_for(shared, key);
		else if (key->gather_ns - now_ns < wait_ns)
			wait_ns = key->gather_ns - now_ns;
	}
	if (!thr_link_is_empty(&shared->gathering))
		thr_loop_defer_within(shared->loop, &shared->gather, wait_ns);
}

void thr_shared_call_for(struct thr_shared *shared, struct thr_shared_key *key)
{
	uint64_t now_ns = thr_loop_now_ns(shared->loop);

	if (key->gather_ns <= now_ns)
		key->away = 0;
	if (key->away <= key->spare) {
		thr_shared_make_ready(shared, key);
		return;
	}
	thr_link_remove(&key->ready);
	thr_link_add_last(&shared->gathering, &key->ready);
	thr_loop_defer_within(shared->loop, &shared->gather, key->gather_ns - now_ns);
}

/* --- deadlines --- */

/* Whoever has waited for as long as may be is answered without Redis. */
static void answer_late(struct thr_timer *timer)
{
	struct thr_shared *shared = THR_CONTAINER(timer, struct thr_shared, late);
	uint64_t now_ns = thr_loop_now_ns(shared->loop);
	uint64_t wait_ns = shared->wait_ms * THR_NS_PER_MS;

	while (!thr_link_is_empty(&shared->waiting)) {
		struct thr_ask *ask = THR_CONTAINER(shared->waiting.next, struct thr_ask, due);
		uint64_t waited_ns = now_ns - ask->asked_ns;

		if (waited_ns < wait_ns) {
			thr_loop_arm(shared->loop, timer,
				     (wait_ns - waited_ns) / THR_NS_PER_MS + 1);
			break;
		}
		degrade(shared, ask);
		thr_shared_finish(shared, ask);
	}
	thr_shared_tell(shared);
}

static void wait_for(struct thr_shared *shared, struct thr_shared_key *key, struct thr_ask *ask)
{
	ask->flight = shared;
	ask->asked_ns = thr_loop_now_ns(shared->loop);
	thr_link_add_last(&key->asks, &ask->item);
	thr_link_add_last(&shared->waiting, &ask->due);
	if (!shared->late.due_ms)
		thr_loop_arm(shared->loop, &shared->late, shared->wait_ms);
	if (key->away)
		key->away--;
	if (!key->flight)
		thr_shared_call_for(shared, key);
}

/* --- what is asked of it --- */

/*
 * Deny what the bucket cannot hold yet. A bound beyond the window, and by more than clocks
 * differ, is from a larger limit: Redis is asked, which judges the bucket as an empty one.
 * What this worker leased is in the bound, and no reason.
 */
static bool deny_known(struct thr_shared *shared, struct thr_shared_key *key, struct thr_ask *ask)
{
	uint64_t now_ns = thr_loop_now_ns(shared->loop), now = now_ns << THR_TICK_SHIFT;
	uint64_t bound = key->bound > key->lease.left ? key->bound - key->lease.left : 0;
	uint64_t debt = bound > now ? bound - now : 0;
	struct thr_taking taking;

	if (key->trust != shared->trust || now_ns - key->bound_ns > BOUND_NS ||
	    debt > ask->limit.window + THR_CLOCK_SKEW)
		return false;
	taking = thr_bucket_judge(bound, now, ask->limit.window,
				  thr_stand_spent(&ask->limit, ask->cost));
	thr_stand_after(&ask->limit, ask->cost, &taking, now, &ask->standing);
	return !ask->standing.allowed;
}

bool thr_shared_ask(struct thr_shared *shared, struct thr_ask *ask)
{
	struct thr_shared_key *key = thr_shared_key_find(shared, &ask->key.key);

	ask->degraded = false;
	if (ask->on_error == THR_ON_ERROR_DENY)
		shared->counts->denies_ns = thr_loop_now_ns(shared->loop);
	if (key && (deny_known(shared, key, ask) || thr_lease_take(shared, key, ask))) {
		thr_shared_count(shared, ask, true);
		return true;
	}
	if (!key)
		key = thr_shared_key_add(shared, &ask->key.key, ask->name);
	if (!key || !thr_redis_is_available(shared->redis,
					    (struct thr_slice){key->name, key->name_length})) {
		degrade(shared, ask);
		return true;
	}
	wait_for(shared, key, ask);
	return false;
}

void thr_shared_cancel(struct thr_ask *ask)
{
	thr_link_remove(&ask->item);
	thr_link_remove(&ask->due);
	ask->flight = NULL;
}

bool thr_shared_is_busy(const struct thr_shared *shared)
{
	return !thr_link_is_empty(&shared->waiting) || !thr_link_is_empty(&shared->finished) ||
	       shared->send.queued || shared->finish.queued || shared->gather.queued ||
	       thr_shared_is_returning(shared);
}

bool thr_shared_is_returning(const struct thr_shared *shared)
{
	return shared->flights || !thr_link_is_empty(&shared->returns);
}

void thr_shared_set_instances(struct thr_shared *shared, uint64_t instances)
{
	shared->degraded.instances = instances ? instances : 1;
}

void thr_shared_inherit(struct thr_shared *shared, const struct thr_shared *before)
{
	shared->degraded.instances = before->degraded.instances;
}

void thr_shared_set_informed(struct thr_shared *shared, bool is_informed)
{
	shared->is_informed = is_informed;
}

void thr_shared_distrust(struct thr_shared *shared)
{
	shared->trust++;
}

/* --- the whole --- */

int thr_shared_new(const struct thr_shared_parts *parts, struct thr_shared **ret_shared)
{
	struct thr_shared *shared = calloc(1, sizeof(*shared));

	if (!shared)
		return -ENOMEM;
	shared->loop = parts->store->loop;
	shared->redis = parts->redis;
	shared->scripts = parts->scripts;
	shared->counts = parts->store->counts;
	shared->lease = parts->lease;
	shared->wait_ms = thr_redis_wait_ms(parts->deadline_ms);
	shared->trust = 1; /* a new key has 0 */
	thr_degraded_init(&shared->degraded, parts->store->buckets);
	thr_link_init(&shared->waiting);
	thr_link_init(&shared->finished);
	thr_link_init(&shared->ready);
	thr_link_init(&shared->gathering);
	thr_link_init(&shared->leased);
	thr_link_init(&shared->returns);
	thr_link_init(&shared->use);
	shared->late.fire = answer_late;
	shared->idle.fire = thr_lease_idle;
	shared->send.run = send_ready;
	shared->gather.run = send_gathered;
	shared->finish.run = finish_later;
	shared->prefix = strdup(parts->key_prefix);
	shared->table = calloc(THR_SHARED_KEYS, sizeof(*shared->table));
	if (!shared->prefix || !shared->table) {
		thr_shared_free(shared);
		return -ENOMEM;
	}
	shared->prefix_length = strlen(shared->prefix);
	*ret_shared = shared;
	return 0;
}

void thr_shared_free(struct thr_shared *shared)
{
	if (!shared)
		return;
	thr_loop_disarm(shared->loop, &shared->late);
	thr_loop_disarm(shared->loop, &shared->idle);
	thr_lease_forget_returns(shared);
	while (!thr_link_is_empty(&shared->use)) {
		struct thr_shared_key *key =
			THR_CONTAINER(shared->use.next, struct thr_shared_key, use);

		if (key->flight)
			thr_redis_forget(shared->redis, &key->flight->call);
		free(key->flight);
		thr_shared_key_remove(shared, key);
	}
	free(shared->table);
	free(shared->prefix);
	free(shared);
}
