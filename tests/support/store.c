/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stores for tests; see store.h. */
#include "support/store.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "store/scripts.h"
#include "support/run.h"

#define PATIENCE_NS (20 * NS_PER_S)
#define CALM_MS 5000
#define MAX_QUOTAS 500

void world_begin(struct test_world *world)
{
	assert_int_equal(thr_loop_new(&world->loop), 0);
	assert_int_equal(thr_resolver_new(world->loop, &world->resolver), 0);
	assert_int_equal(thr_memory_new(1000, &world->buckets), 0);
	assert_int_equal(thr_quotas_new(MAX_QUOTAS, true, &world->quotas), 0);
}

void world_end(struct test_world *world)
{
	thr_loop_turn(world->loop, 0);
	thr_loop_turn(world->loop, 0);
	thr_resolver_free(world->resolver);
	thr_quotas_free(world->quotas);
	thr_memory_free(world->buckets);
	thr_loop_free(world->loop);
}

static void on_tell(void *context, bool bad, const char *text)
{
	struct test_store *store = context;

	if (bad)
		store->bad++;
	else
		store->good++;
	snprintf(store->told, sizeof(store->told), "%s", text);
}

static void on_keep(void *context, struct thr_change *change)
{
	struct test_store *store = context;

	store->kept = change;
}

void store_begin(struct test_world *world, struct test_store *store, uint64_t instance)
{
	struct thr_store_parts parts = {
		.loop = world->loop,
		.buckets = world->buckets,
		.quotas = world->quotas,
		.resolver = world->resolver,
		.counts = &store->counts,
		.instance = instance,
		.tell = on_tell,
		.keep = on_keep,
		.context = store,
	};

	memset(store, 0, sizeof(*store));
	store->world = world;
	assert_int_equal(thr_store_new(&parts, &store->store), 0);
	store_use(store, NULL);
}

void store_end(struct test_store *store)
{
	thr_store_free(store->store);
}

void store_use(struct test_store *store, const struct thr_redis_settings *redis)
{
	const struct thr_store_settings settings = {.fallback = quota_of(100, 10), .redis = redis};
	struct thr_error error = {""};

	if (thr_store_configure(store->store, &settings, &error) < 0)
		fail_msg("%s", error.text);
}

void store_use_redis(struct test_store *store, const struct redis_server *server,
		     uint64_t deadline_ms, uint64_t lease)
{
	const struct thr_redis_settings settings = {
		.socket = (char *)(uintptr_t)server->socket,
		.key_prefix = (char *)(uintptr_t) "t:",
		.deadline_ms = deadline_ms ? deadline_ms : CALM_MS,
		.lease = lease,
		.failures = 3,
	};

	store_use(store, &settings);
}

struct thr_quota quota_of(uint64_t capacity, double refill_per_s)
{
	struct thr_quota quota = {0};
	const char *why;

	if (thr_quota_make(capacity, refill_per_s, THR_ON_ERROR_LOCAL, &quota, &why) < 0)
		fail_msg("%s", why);
	return quota;
}

static void on_done(struct thr_ask *base)
{
	struct test_ask *ask = THR_CONTAINER(base, struct test_ask, ask);

	assert_false(ask->is_over);
	ask->is_over = true;
	ask->over_ns = thr_clock_monotonic_ns();
}

void ask_for(struct test_store *store, struct test_ask *ask, const char *key,
	     const struct thr_quota *quota, uint64_t cost)
{
	struct thr_hash hash = thr_store_key_hash(store->store, thr_text(key));
	char name[300];

	snprintf(name, sizeof(name), "check:%s", key);
	memset(ask, 0, sizeof(*ask));
	thr_store_check_key(store->store, &hash, quota, &ask->ask.key);
	ask->ask.name = thr_text(name);
	ask->ask.limit = quota->limit;
	ask->ask.on_error = quota->on_error;
	ask->ask.cost = cost;
	ask->ask.done = on_done;
	ask->at_once = ask->is_over = thr_store_ask(store->store, &ask->ask);
	ask->ask.name = (struct thr_slice){NULL, 0};
}

void turn_until(struct test_world *world, bool (*is_so)(void *context), void *context)
{
	uint64_t end_ns = thr_clock_monotonic_ns() + PATIENCE_NS;

	while (!is_so(context)) {
		assert_int_equal(thr_loop_turn(world->loop, 50), 0);
		if (thr_clock_monotonic_ns() > end_ns)
			fail_msg("it does not come");
	}
}

static bool is_over(void *context)
{
	return ((const struct test_ask *)context)->is_over;
}

void wait_for_ask(struct test_store *store, const struct test_ask *ask)
{
	turn_until(store->world, is_over, (void *)(uintptr_t)ask);
}

struct thr_standing take(struct test_store *store, const char *key, const struct thr_quota *quota,
			 uint64_t cost)
{
	struct test_ask ask;

	ask_for(store, &ask, key, quota, cost);
	wait_for_ask(store, &ask);
	return ask.ask.standing;
}

static bool has_heard(void *context)
{
	return ((const struct test_store *)context)->counts.instances > 0;
}

void wait_for_redis(struct test_store *store)
{
	turn_until(store->world, has_heard, store);
}

struct commands {
	const struct test_store *store;
	uint64_t more_than;
};

static bool has_sent(void *context)
{
	const struct commands *commands = context;

	return commands->store->counts.commands > commands->more_than;
}

/* Two more commands: the first may have been sent before. Replies come in order, and a
 * store without asks sends the next only after the last one's. */
void wait_for_sync(struct test_store *store)
{
	struct commands commands = {store, store->counts.commands + 1};

	turn_until(store->world, has_sent, &commands);
	commands.more_than = store->counts.commands;
	turn_until(store->world, has_sent, &commands);
}

struct waiting {
	struct thr_change change;
	bool is_over;
};

static void on_changed(struct thr_change *change)
{
	THR_CONTAINER(change, struct waiting, change)->is_over = true;
}

static bool is_changed(void *context)
{
	return ((const struct waiting *)context)->is_over;
}

struct thr_change change_quota(struct test_store *store, enum thr_change_kind kind, const char *key,
			       const struct thr_quota *quota, const struct thr_condition *condition)
{
	struct waiting waiting = {
		.change = {.kind = kind, .key = thr_text(key), .done = on_changed},
	};

	waiting.change.hash = thr_store_key_hash(store->store, waiting.change.key);
	if (quota)
		waiting.change.quota = *quota;
	if (condition)
		waiting.change.condition = *condition;
	waiting.is_over = thr_store_change(store->store, &waiting.change);
	turn_until(store->world, is_changed, &waiting);
	assert_null(waiting.change.owner);
	return waiting.change;
}

bool find_quota(const struct test_store *store, const char *key, struct thr_quota *ret_quota)
{
	struct thr_hash hash = thr_store_key_hash(store->store, thr_text(key));

	return thr_store_quota(store->store, &hash, thr_text(key), ret_quota);
}

/* The reply, which is of `type`, and the connection. */
static redisReply *redis_ask(const struct redis_server *server, const char *command, int type,
			     redisContext **ret_context)
{
	redisContext *context = redisConnectUnix(server->socket);
	redisReply *reply;

	assert_non_null(context);
	assert_int_equal(context->err, 0);
	reply = redisCommand(context, command);
	assert_non_null(reply);
	if (reply->type != type)
		fail_msg("%s: %s", command, reply->str ? reply->str : "something else");
	*ret_context = context;
	return reply;
}

long long redis_number(const struct redis_server *server, const char *command)
{
	redisContext *context;
	redisReply *reply = redis_ask(server, command, REDIS_REPLY_INTEGER, &context);
	long long number = reply->integer;

	freeReplyObject(reply);
	redisFree(context);
	return number;
}

uint64_t redis_full_ticks(const struct redis_server *server, const char *name)
{
	unsigned long long seconds, ticks;
	redisContext *context;
	redisReply *reply;
	char command[300];

	snprintf(command, sizeof(command), "GET %s", name);
	reply = redis_ask(server, command, REDIS_REPLY_STRING, &context);
	assert_int_equal(sscanf(reply->str, "%llu:%llu", &seconds, &ticks), 2);
	assert_true(ticks < THR_TICKS_PER_S);
	freeReplyObject(reply);
	redisFree(context);
	return ticks;
}
