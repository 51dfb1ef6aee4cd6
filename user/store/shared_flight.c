/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One call for all that wait for a key: boarding, the call, and who gets what of its reply;
 * see shared.h. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "core/clock.h"
#include "store/shared_internal.h"

#define RECENT_NS THR_NS_PER_S /* a key that is asked for so often gets a lease */
#define GATHER_LEAST 8	       /* takings of a flight, for its key to be one that many ask for */
#define GATHER_EACH_NS 20000ULL
#define GATHER_MOST_NS THR_NS_PER_MS
#define FIRST_RUN 6 /* argument */
#define ARGUMENTS (FIRST_RUN + 3 * THR_FLIGHT_RUNS)

static struct thr_ask *first_of(const struct thr_link *list)
{
	return THR_CONTAINER(list->next, struct thr_ask, item);
}

/* --- boarding --- */

/* Whether `ask` goes with the others: as one more of the last run, or as a new one. */
static bool board(struct thr_flight *flight, struct thr_ask *ask)
{
	uint64_t spent = thr_stand_spent(&ask->limit, ask->cost);

	if (flight->runs && flight->window != ask->limit.window)
		return false;
	if (!flight->runs || flight->run[flight->runs - 1].spent != spent ||
	    flight->run[flight->runs - 1].count == THR_RUN_MOST) {
		if (flight->runs == THR_FLIGHT_RUNS)
			return false;
		flight->run[flight->runs++] = (struct thr_run){.spent = spent};
	}
	flight->window = ask->limit.window;
	flight->run[flight->runs - 1].count++;
	flight->call.checks++;
	ask->run = flight->runs - 1;
	thr_link_remove(&ask->item);
	thr_link_add_last(&flight->asks, &ask->item);
	return true;
}

/* Whether to lease with the flight: takings have come before, lately. */
static void board_lease(struct thr_shared *shared, struct thr_flight *flight, uint64_t asked_ns)
{
	struct thr_shared_key *key = flight->key;
	bool takes = false;

	for (uint32_t i = 0; i < flight->runs; i++)
		takes |= flight->run[i].spent > 0;
	if (!takes)
		return;
	if (shared->lease && key->taken_ns && asked_ns - key->taken_ns < RECENT_NS)
		flight->lease = thr_lease_wanted(shared, &first_of(&flight->asks)->limit);
	key->taken_ns = asked_ns;
}

static int send_flight(struct thr_shared *shared, struct thr_flight *flight)
{
	struct thr_duration_text window, token, spent[THR_FLIGHT_RUNS];
	struct thr_slice name = {flight->key->name, flight->key->name_length};
	char how_often[THR_FLIGHT_RUNS][THR_DECIMAL_MAX], lease[THR_DECIMAL_MAX];
	struct thr_slice argument[ARGUMENTS];
	size_t used = FIRST_RUN;

	thr_duration_write(flight->window, &window, &argument[0]);
	thr_duration_write(flight->lease.spent, &token, &argument[2]);
	argument[4] = thr_decimal(flight->lease.count, lease);
	argument[5] = shared->is_informed ? THR_SLICE("1") : THR_SLICE("0");
	for (uint32_t i = 0; i < flight->runs; i++) {
		const struct thr_run *run = &flight->run[i];

		if (!run->spent)
			continue;
		thr_duration_write(run->spent, &spent[i], &argument[used]);
		argument[used + 2] = thr_decimal(run->count, how_often[i]);
		used += 3;
	}
	return thr_redis_eval(shared->redis, &flight->call, &shared->scripts[THR_SCRIPT_TAKE],
			      &name, 1, argument, used);
}

static void flight_done(struct thr_redis_call *call, const struct redisReply *reply);

void thr_shared_depart(struct thr_shared *shared, struct thr_shared_key *key)
{
	struct thr_flight *flight;

	if (key->flight || thr_link_is_empty(&key->asks))
		return;
	flight = calloc(1, sizeof(*flight));
	if (!flight) {
		thr_shared_degrade_all(shared, &key->asks);
		return;
	}
	flight->shared = shared;
	flight->key = key;
	flight->leases_ended = key->leases_ended;
	flight->call.done = flight_done;
	thr_link_init(&flight->asks);
	while (!thr_link_is_empty(&key->asks) && board(flight, first_of(&key->asks)))
		;
	board_lease(shared, flight, thr_loop_now_ns(shared->loop));
	if (send_flight(shared, flight) < 0) {
		thr_shared_degrade_all(shared, &flight->asks);
		thr_shared_degrade_all(shared, &key->asks);
		free(flight);
		return;
	}
	key->flight = flight;
	shared->flights++;
	shared->counts->calls++;
}

/* --- replies --- */

/* The numbers of a reply, none of them negative. Returns false when it is something else. */
static bool read_numbers(const struct redisReply *reply, uint64_t *ret_number, size_t size)
{
	if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != size)
		return false;
	for (size_t i = 0; i < size; i++) {
		const struct redisReply *element = reply->element[i];

		if (element->type != REDIS_REPLY_INTEGER || element->integer < 0)
			return false;
		ret_number[i] = (uint64_t)element->integer;
	}
	return true;
}

/*
 * Judge what the script judged, from the debt that it found: all of a run, first those that
 * still wait, then those who left. Returns the debt after; *ret_refused: one did not conform.
 */
static uint64_t judge_runs(struct thr_flight *flight, uint64_t debt, bool *ret_refused)
{
	for (uint32_t i = 0; i < flight->runs; i++) {
		const struct thr_run *run = &flight->run[i];
		struct thr_link *asks = &flight->asks;

		for (uint32_t n = 0; n < run->count; n++) {
			struct thr_ask *ask = thr_link_is_empty(asks) ? NULL : first_of(asks);
			struct thr_taking taking =
				thr_bucket_judge(debt, 0, flight->window, run->spent);

			if (run->spent)
				debt = taking.state;
			*ret_refused |= run->spent && taking.wait;
			if (!ask || ask->run != i)
				continue;
			thr_stand_after(&ask->limit, ask->cost, &taking, 0, &ask->standing);
			ask->degraded = false;
			thr_shared_count(flight->shared, ask, false);
			thr_shared_finish(flight->shared, ask);
		}
	}
	return debt;
}

/* How much the script leased, which found nothing of the flight refused and left `debt`. */
static uint64_t leased_by(const struct thr_flight *flight, uint64_t debt)
{
	uint64_t tokens;

	if (!flight->lease.count || debt > flight->window)
		return 0;
	tokens = (flight->window - debt) / 2 / flight->lease.spent;
	if (tokens > flight->lease.count)
		tokens = flight->lease.count;
	return tokens * flight->lease.spent;
}

/* Where some of them take, there is no lease; to those who look, it is left. */
static void settle(struct thr_flight *flight, const uint64_t number[static 4])
{
	struct thr_shared_key *key = flight->key;
	struct thr_shared *shared = flight->shared;
	uint64_t debt = number[0] * THR_TICKS_PER_S + number[1], leased = 0;
	uint64_t held = key->lease.left < debt ? key->lease.left : debt;
	bool refused = false;

	debt = held + judge_runs(flight, debt - held, &refused);
	if (!refused)
		leased = leased_by(flight, debt);
	key->bound = (flight->call.sent_ns << THR_TICK_SHIFT) + debt + leased;
	key->bound_ns = flight->call.sent_ns;
	key->trust = shared->trust - (flight->leases_ended != key->leases_ended);
	thr_lease_add(shared, flight, leased, &number[2]);
}

/*
 * Of a key that so many ask for at once, most of them ask again when they have their answer.
 * The next flight waits until seven of eight are back, for a moment: about as long as
 * answering them takes, and a millisecond at most. Without that, of those who ask again and
 * again half are in a flight while the other half waits, and Redis has twice the calls.
 * Those of the flight before who are still away count too: else the two halves, each back
 * while the other is answered, would stay apart.
 */
static void expect_back(struct thr_shared_key *key, uint32_t checks, uint64_t now_ns)
{
	uint64_t wait_ns;

	key->away = checks >= GATHER_LEAST ? key->away + checks : 0;
	key->spare = key->away / 8;
	wait_ns = key->away * GATHER_EACH_NS;
	key->gather_ns = now_ns + (wait_ns < GATHER_MOST_NS ? wait_ns : GATHER_MOST_NS);
}

/* Who came during the flight has what it leased, before another one leaves. */
static void take_leased(struct thr_shared *shared, struct thr_shared_key *key)
{
	struct thr_link *item = key->asks.next, *next;

	for (; key->lease.left && item != &key->asks; item = next) {
		struct thr_ask *ask = THR_CONTAINER(item, struct thr_ask, item);

		next = item->next;
		if (!thr_lease_take(shared, key, ask))
			continue;
		thr_shared_count(shared, ask, true);
		thr_shared_finish(shared, ask);
	}
}

static void flight_done(struct thr_redis_call *call, const struct redisReply *reply)
{
	struct thr_flight *flight = THR_CONTAINER(call, struct thr_flight, call);
	struct thr_shared *shared = flight->shared;
	struct thr_shared_key *key = flight->key;
	uint64_t number[4];

	key->flight = NULL;
	shared->flights--;
	expect_back(key, reply ? call->checks : 0, thr_loop_now_ns(shared->loop));
	if (reply)
		thr_histogram_add(&shared->counts->call,
				  thr_loop_now_ns(shared->loop) - call->sent_ns);
	if (read_numbers(reply, number, 4))
		settle(flight, number);
	else
		thr_shared_degrade_all(shared, &flight->asks);
	free(flight);
	take_leased(shared, key);
	if (!thr_link_is_empty(&key->asks))
		thr_shared_call_for(shared, key);
	thr_shared_tell(shared);
}
