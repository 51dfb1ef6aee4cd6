/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The parts of the shared store's takings; see shared.h. Times are ticks of thr_bucket.h, by
 * the loop's clock, unless the name says otherwise.
 *
 * A key is in the table while it is known, in the list of use always, among the ready ones
 * while it waits for the end of the turn, among the leased ones while it has tokens. It
 * goes, as the one used longest ago, only when nobody waits for it.
 */
#ifndef THR_SHARED_INTERNAL_H
#define THR_SHARED_INTERNAL_H

#include "core/writer.h"
#include "store/degraded.h"
#include "store/shared.h"
#include "store/stand.h"

#define THR_SHARED_KEYS 65536 /* a power of two */
#define THR_FLIGHT_RUNS 32
#define THR_RUN_MOST 500000 /* times the ticks of a second, that is exact in the script */

/* Tokens that were taken ahead. While a taking waits for the key, there are none. */
struct thr_lease {
	struct thr_link item;
	uint64_t left;	  /* to be used, ticks; 0: none */
	uint64_t sent_ns; /* the call that brought them */
	uint64_t at[2];	  /* when it was judged, seconds and ticks by Redis' clock */
	uint64_t used_ns;
	uint64_t window; /* of the limit */
};

struct thr_shared_key {
	struct thr_shared_key *next; /* in its chain of the table */
	struct thr_link use, ready;
	struct thr_hash hash;

	struct thr_link asks;	   /* that wait and are in no flight */
	struct thr_flight *flight; /* NULL: none */
	/* Those who were answered lately and may ask again at once: how many are not back, with
	 * how many of them away the next flight leaves, and when it leaves anyhow. */
	uint32_t away, spare;
	uint64_t gather_ns;

	uint64_t bound;	   /* the TAT is at least this */
	uint64_t bound_ns; /* since, and for a second */
	uint64_t trust;	   /* as of the store when it was learnt */
	uint64_t taken_ns; /* when a taking was asked for last */
	struct thr_lease lease;
	uint32_t leases_ended;

	size_t name_length;
	char name[]; /* with the prefix */
};

/* Takings of `spent` that go to Redis together; looks where it is 0, which do not go. */
struct thr_run {
	uint64_t spent;
	uint32_t count;
};

struct thr_flight {
	struct thr_redis_call call;
	struct thr_shared *shared;
	struct thr_shared_key *key;
	struct thr_link asks; /* in the order of the runs */
	uint64_t window;
	struct thr_run lease;  /* what to take ahead: none, or as many tokens */
	uint32_t leases_ended; /* of the key, when it left */
	uint32_t runs;
	struct thr_run run[THR_FLIGHT_RUNS];
};

/* Keys of the same place in the table. */
struct thr_shared_chain {
	struct thr_shared_key *first;
};

struct thr_shared {
	struct thr_loop *loop;
	struct thr_redis *redis;
	const struct thr_redis_script *scripts;
	struct thr_store_counts *counts;
	struct thr_degraded degraded;
	uint64_t lease;	  /* tokens */
	uint64_t trust;	  /* what was learnt under another number does not hold */
	bool is_informed; /* what is set for keys is known */

	/* Asks in the order in which they came, until they are answered; those whose answer
	 * is there; and keys to be sent for. */
	struct thr_link waiting, finished, ready;
	struct thr_link gathering; /* keys that wait for more to come along */
	uint64_t wait_ms;	   /* for an answer */
	struct thr_timer late;
	struct thr_deferred send, finish, gather;

	struct thr_link leased; /* the one used longest ago first */
	struct thr_link returns;
	size_t flights; /* that may bring a lease, whoever has left meanwhile */
	struct thr_timer idle;

	struct thr_shared_chain *table; /* of THR_SHARED_KEYS */
	struct thr_link use;		/* the one used last first */
	size_t keys;
	size_t prefix_length;
	char *prefix;
};

/* --- shared.c --- */

/* Answer them without Redis; they are told with the finished ones. */
void thr_shared_degrade_all(struct thr_shared *shared, struct thr_link *asks);

/* `ask`, which waited, has its answer; and telling all such. */
void thr_shared_finish(struct thr_shared *shared, struct thr_ask *ask);
void thr_shared_tell(struct thr_shared *shared);

/* Count a taking that was answered; `known`: without a call. */
void thr_shared_count(struct thr_shared *shared, const struct thr_ask *ask, bool known);

/* Send for who waits for the key at the end of the turn. */
void thr_shared_make_ready(struct thr_shared *shared, struct thr_shared_key *key);

/* Somebody waits for the key, for which there is no flight: send now, or gather. */
void thr_shared_call_for(struct thr_shared *shared, struct thr_shared_key *key);

/* --- shared_flight.c --- */

/* Send for all that wait for the key, as far as one call has room; nothing while one is in
 * flight. */
void thr_shared_depart(struct thr_shared *shared, struct thr_shared_key *key);

/* --- shared_keys.c --- */

/* The key, or NULL: it is not known. */
struct thr_shared_key *thr_shared_key_find(struct thr_shared *shared, const struct thr_hash *hash);

/* Know a key. NULL: no memory, or somebody waits for each of those that would have to go. */
struct thr_shared_key *thr_shared_key_add(struct thr_shared *shared, const struct thr_hash *hash,
					  struct thr_slice name);
void thr_shared_key_remove(struct thr_shared *shared, struct thr_shared_key *key);

/* Two decimal numbers, as scripts have a duration. */
struct thr_duration_text {
	char text[2][THR_DECIMAL_MAX];
};
void thr_duration_write(uint64_t ticks, struct thr_duration_text *text,
			struct thr_slice ret_argument[static 2]);

/* --- shared_lease.c --- */

/* Take from what was leased. Returns false when it is not enough; it was given back then. */
bool thr_lease_take(struct thr_shared *shared, struct thr_shared_key *key, struct thr_ask *ask);

/* What to ask for with a taking: as many tokens, none. */
struct thr_run thr_lease_wanted(const struct thr_shared *shared,
				const struct thr_store_limit *limit);

/* `ticks` were granted to the flight, at `at` by Redis' clock. */
void thr_lease_add(struct thr_shared *shared, const struct thr_flight *flight, uint64_t ticks,
		   const uint64_t at[static 2]);

/* Give back what is left. */
void thr_lease_end(struct thr_shared *shared, struct thr_shared_key *key);

/* Of struct thr_shared: `idle` fired; and what is given back needs no answer any more. */
void thr_lease_idle(struct thr_timer *timer);
void thr_lease_forget_returns(struct thr_shared *shared);

#endif
