/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For tests of quotas in a real Redis: two instances that share them. */
#ifndef THR_TEST_TWO_STORES_H
#define THR_TEST_TWO_STORES_H

#include "support/run.h"
#include "support/store.h"

struct fixture {
	struct redis_server server;
	struct test_world world;
	struct test_store one, other;
};

static inline void begin(struct fixture *fixture)
{
	server_begin(&fixture->server, NULL);
	world_begin(&fixture->world);
	store_begin(&fixture->world, &fixture->one, 1);
	store_begin(&fixture->world, &fixture->other, 2);
	store_use_redis(&fixture->one, &fixture->server, 0, 0);
	store_use_redis(&fixture->other, &fixture->server, 0, 0);
	wait_for_redis(&fixture->one);
	wait_for_redis(&fixture->other);
}

static inline void end(struct fixture *fixture)
{
	store_end(&fixture->one);
	store_end(&fixture->other);
	world_end(&fixture->world);
	server_end(&fixture->server);
}

static inline struct thr_change put(struct test_store *store, const char *key, uint64_t capacity,
				    const struct thr_condition *condition)
{
	const struct thr_quota quota = quota_of(capacity, 10);

	return change_quota(store, THR_QUOTA_PUT, key, &quota, condition);
}

/* What a store is to come to know of a key: capacity 0 is none. */
struct expected {
	const struct test_store *store;
	const char *key;
	uint64_t capacity;
};

static inline bool is_known(void *context)
{
	const struct expected *expected = context;
	struct thr_quota quota;
	bool found = find_quota(expected->store, expected->key, &quota);

	return expected->capacity ? found && quota.capacity == expected->capacity : !found;
}

static inline void expect(struct test_store *store, const char *key, uint64_t capacity)
{
	struct expected expected = {store, key, capacity};

	turn_until(store->world, is_known, &expected);
}

#endif
