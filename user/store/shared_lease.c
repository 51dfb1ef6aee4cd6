/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tokens taken ahead, so that most takings of a busy key need no call.
 *
 * They were charged in Redis when they were leased, so that what all holders let pass is
 * what the limit lets pass, but for when: a holder may use up to `lease` tokens later than
 * they were charged. What is not used for a second goes back, as far as the bucket can
 * still owe it: the time since the call has paid for the rest. A reply that is lost loses
 * tokens, and grants none.
 *
 * Nobody is refused for want of tokens that this worker holds: a taking for which the lease
 * is not enough ends it, and what is given back reaches Redis before the call. And who ends,
 * or has other settings, gives back at once; what a call brings that is on its way then, too.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "store/shared_internal.h"

#define IDLE_NS THR_NS_PER_S
#define LOOK_MS 250 /* between two looks for idle ones */

/* What is on its way back. */
struct giving {
	struct thr_redis_call call;
	struct thr_link item;
};

static void given(struct thr_redis_call *call, const struct redisReply *reply)
{
	struct giving *giving = THR_CONTAINER(call, struct giving, call);

	(void)reply;
	thr_link_remove(&giving->item);
	free(giving);
}

static void give_back(struct thr_shared *shared, const struct thr_shared_key *key, uint64_t ticks)
{
	struct thr_slice name = {key->name, key->name_length};
	struct giving *giving = calloc(1, sizeof(*giving));
	struct thr_duration_text text;
	struct thr_slice argument[4];
	char at[2][THR_DECIMAL_MAX];

	if (!giving)
		return;
	giving->call.done = given;
	thr_duration_write(ticks, &text, argument);
	argument[2] = thr_decimal(key->lease.at[0], at[0]);
	argument[3] = thr_decimal(key->lease.at[1], at[1]);
	if (thr_redis_eval(shared->redis, &giving->call, &shared->scripts[THR_SCRIPT_GIVE_BACK],
			   &name, 1, argument, 4) < 0)
		free(giving);
	else
		thr_link_add_last(&shared->returns, &giving->item);
}

void thr_lease_end(struct thr_shared *shared, struct thr_shared_key *key)
{
	struct thr_lease *lease = &key->lease;
	uint64_t paid = (thr_loop_now_ns(shared->loop) - lease->sent_ns) << THR_TICK_SHIFT;
	uint64_t ticks = lease->left;

	if (!ticks)
		return;
	thr_link_remove(&lease->item);
	lease->left = 0;
	/* The bound counted the lease in, as does a reply that is on its way; Redis says what
	 * the bucket is now. */
	key->trust = shared->trust - 1;
	key->leases_ended++;
	if (ticks > paid)
		give_back(shared, key, ticks);
}

bool thr_lease_take(struct thr_shared *shared, struct thr_shared_key *key, struct thr_ask *ask)
{
	uint64_t spent = thr_stand_spent(&ask->limit, ask->cost);
	uint64_t now_ns = thr_loop_now_ns(shared->loop), debt;
	struct thr_lease *lease = &key->lease;

	if (!lease->left || !spent)
		return false;
	if (lease->window != ask->limit.window || lease->left < spent) {
		thr_lease_end(shared, key);
		return false;
	}
	lease->left -= spent;
	lease->used_ns = key->taken_ns = now_ns;
	thr_link_remove(&lease->item);
	if (lease->left)
		thr_link_add_last(&shared->leased, &lease->item);
	debt = key->bound > lease->left ? key->bound - lease->left : 0;
	thr_stand(&ask->limit, &(struct thr_taking){.state = debt}, now_ns << THR_TICK_SHIFT,
		  &ask->standing);
	return true;
}

struct thr_run thr_lease_wanted(const struct thr_shared *shared,
				const struct thr_store_limit *limit)
{
	struct thr_run run = {.spent = thr_bucket_ticks(limit->interval, 1)};
	uint64_t tokens = shared->lease < limit->burst ? shared->lease : limit->burst;

	/* Of a token that comes back within a tick none need be held. */
	if (run.spent)
		run.count = tokens < THR_RUN_MOST ? (uint32_t)tokens : THR_RUN_MOST;
	return run;
}

void thr_lease_add(struct thr_shared *shared, const struct thr_flight *flight, uint64_t ticks,
		   const uint64_t at[static 2])
{
	struct thr_lease *lease = &flight->key->lease;

	if (!ticks)
		return;
	lease->left = ticks;
	lease->sent_ns = flight->call.sent_ns;
	lease->at[0] = at[0];
	lease->at[1] = at[1];
	lease->used_ns = thr_loop_now_ns(shared->loop);
	lease->window = flight->window;
	thr_link_remove(&lease->item);
	thr_link_add_last(&shared->leased, &lease->item);
	if (!shared->lease)
		thr_lease_end(shared, flight->key);
	else if (!shared->idle.due_ms)
		thr_loop_arm(shared->loop, &shared->idle, LOOK_MS);
}

void thr_shared_end_leases(struct thr_shared *shared)
{
	shared->lease = 0;
	while (!thr_link_is_empty(&shared->leased))
		thr_lease_end(shared, THR_CONTAINER(shared->leased.next, struct thr_shared_key,
						    lease.item));
}

void thr_lease_idle(struct thr_timer *timer)
{
	struct thr_shared *shared = THR_CONTAINER(timer, struct thr_shared, idle);
	uint64_t now_ns = thr_loop_now_ns(shared->loop);

	while (!thr_link_is_empty(&shared->leased)) {
		struct thr_shared_key *key =
			THR_CONTAINER(shared->leased.next, struct thr_shared_key, lease.item);

		if (now_ns - key->lease.used_ns < IDLE_NS)
			break;
		thr_lease_end(shared, key);
	}
	if (!thr_link_is_empty(&shared->leased))
		thr_loop_arm(shared->loop, &shared->idle, LOOK_MS);
}

void thr_lease_forget_returns(struct thr_shared *shared)
{
	while (!thr_link_is_empty(&shared->returns)) {
		struct giving *giving = THR_CONTAINER(shared->returns.next, struct giving, item);

		thr_redis_forget(shared->redis, &giving->call);
		thr_link_remove(&giving->item);
		free(giving);
	}
}
