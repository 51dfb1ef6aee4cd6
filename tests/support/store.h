/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For tests of the store: one on a loop of its own, asks that remember their answer, and
 * Redis as the test sees it beside the store. */
#ifndef THR_TEST_STORE_H
#define THR_TEST_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"
#include "support/redis.h"

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

/* What several stores of a test share, as the workers of an instance do, and the loop,
 * which they share for the test's convenience. */
struct test_world {
	struct thr_loop *loop;
	struct thr_resolver *resolver;
	struct thr_memory *buckets;
	struct thr_quotas *quotas;
};

struct test_store {
	struct test_world *world;
	struct thr_store *store;
	struct thr_store_counts counts;
	unsigned int bad, good; /* how often it was told */
	char told[256];
	struct thr_change *kept; /* what `keep` was handed last */
};

struct test_ask {
	struct thr_ask ask;
	bool is_over; /* answered, at once or later */
	bool at_once;
	uint64_t over_ns;
};

void world_begin(struct test_world *world);
void world_end(struct test_world *world);

/* On memory. Two with the same number are of the same instance. */
void store_begin(struct test_world *world, struct test_store *store, uint64_t instance);
void store_end(struct test_store *store);

/* On Redis. `deadline_ms` 0: so long that it plays no part. */
void store_use_redis(struct test_store *store, const struct redis_server *server,
		     uint64_t deadline_ms, uint64_t lease);
void store_use(struct test_store *store, const struct thr_redis_settings *redis);

struct thr_quota quota_of(uint64_t capacity, double refill_per_s);

/* Ask for `cost` tokens of the key; the name in Redis is "check:" and the key. */
void ask_for(struct test_store *store, struct test_ask *ask, const char *key,
	     const struct thr_quota *quota, uint64_t cost);
void wait_for_ask(struct test_store *store, const struct test_ask *ask);

/* Both; the standing. */
struct thr_standing take(struct test_store *store, const char *key, const struct thr_quota *quota,
			 uint64_t cost);

/* Turn the loop until it is so; fails the test after 20 s. */
void turn_until(struct test_world *world, bool (*is_so)(void *context), void *context);

/* Until the store has heard of Redis for the first time. */
void wait_for_redis(struct test_store *store);

/* Until a reply of Redis has reached the quotas of the store since this call. */
void wait_for_sync(struct test_store *store);

/* Change a quota and wait until it is done. `quota` NULL: get, or delete. */
struct thr_change change_quota(struct test_store *store, enum thr_change_kind kind, const char *key,
			       const struct thr_quota *quota,
			       const struct thr_condition *condition);

/* Whether the key has a quota of its own, as the store sees it. */
bool find_quota(const struct test_store *store, const char *key, struct thr_quota *ret_quota);

/* One command, by its own connection: the integer that it answers. */
long long redis_number(const struct redis_server *server, const char *command);

/* The time at which the bucket `name` is full, by Redis' clock: its ticks below a second. */
uint64_t redis_full_ticks(const struct redis_server *server, const char *name);

#endif
