/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The client: the command of a call, the node that it goes to, and what becomes of a reply
 * that sends it elsewhere; see redis.h.
 *
 * NOSCRIPT, MOVED and ASK say that a call was not executed: it is sent again, MOVES_MAX
 * times at most. Nothing else is.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/redis_cluster.h"
#include "store/redis_command.h"
#include "store/redis_node.h"
#include "store/redis_slots.h"
#include "store/redis_tls.h"

#define MOVES_MAX 5

struct thr_redis {
	struct thr_redis_shared shared;
	struct thr_redis_settings settings; /* a copy */
	struct thr_redis_events events;
	struct thr_deferred deferred;

	struct thr_redis_cluster cluster;

	struct thr_redis_desk desk;
};

/* --- calls --- */

static void finish(struct thr_redis_call *call, const redisReply *reply, const char *why)
{
	call->why = why;
	thr_redis_call_end(call);
	call->done(call, reply);
}

static void send_again(struct thr_redis_node *node, struct thr_redis_call *call)
{
	int r = thr_redis_node_send(node, call);

	if (r == -ENOTCONN)
		finish(call, NULL, "the Redis that has the key does not answer");
	else if (r < 0)
		finish(call, NULL, "a command to Redis could not be sent again");
}

static void move(struct thr_redis *redis, struct thr_redis_node *from, struct thr_redis_call *call,
		 struct thr_slice error)
{
	bool is_ask = thr_redis_error_is(error, "ASK");
	struct thr_redis_place place;
	int to = -EINVAL;

	if (thr_redis_place_parse(error, &place))
		to = thr_redis_cluster_find(&redis->cluster, from, &place);
	if (to < 0) {
		finish(call, NULL, "the Redis cluster names a server that cannot be asked");
		return;
	}
	call->is_asking = is_ask;
	if (!is_ask) {
		thr_redis_cluster_set(&redis->cluster, &place, to);
		thr_redis_cluster_ask(&redis->cluster, from, true);
	}
	send_again(redis->cluster.nodes[to], call);
}

/* And may be, elsewhere or in other words. */
static bool was_not_executed(struct thr_slice error)
{
	return thr_redis_error_is(error, "NOSCRIPT") || thr_redis_error_is(error, "MOVED") ||
	       thr_redis_error_is(error, "ASK");
}

static void on_answered(void *context, struct thr_redis_node *node, struct thr_redis_call *call,
			const redisReply *reply)
{
	struct thr_redis *redis = context;
	struct thr_slice error = {0};

	if (reply->type == REDIS_REPLY_ERROR)
		error = (struct thr_slice){reply->str, reply->len};
	call->is_asking = call->is_asking && thr_redis_error_is(error, "NOSCRIPT");
	if (thr_redis_error_is(error, "TRYAGAIN")) {
		finish(call, NULL, "the Redis cluster is moving the keys");
	} else if (!was_not_executed(error)) {
		finish(call, reply, NULL);
	} else if (++call->moves > MOVES_MAX) {
		finish(call, NULL, "the Redis cluster sends the call around");
	} else if (!thr_redis_error_is(error, "NOSCRIPT")) {
		move(redis, node, call, error);
	} else if (thr_redis_command_spell_out(call) < 0) {
		finish(call, NULL, "out of memory");
	} else {
		send_again(node, call);
	}
}

static void on_slots(void *context, struct thr_redis_node *node, const redisReply *reply)
{
	struct thr_redis *redis = context;

	thr_redis_cluster_learn(&redis->cluster, node, reply);
}

static char *probe_key(void *context, const struct thr_redis_node *node)
{
	const struct thr_redis *redis = context;

	return thr_redis_cluster_key(&redis->cluster, node);
}

static void on_changed(void *context, struct thr_redis_node *node, bool bad, const char *text)
{
	struct thr_redis *redis = context;

	thr_redis_cluster_ask(&redis->cluster, node, bad);
	if (text && redis->events.changed)
		redis->events.changed(redis->events.context, bad, text);
}

int thr_redis_eval(struct thr_redis *redis, struct thr_redis_call *call,
		   const struct thr_redis_script *script, const struct thr_slice *keys,
		   size_t key_count, const struct thr_slice *arguments, size_t argument_count)
{
	const struct thr_redis_words words = {keys, key_count, arguments, argument_count};
	struct thr_redis_node *node = thr_redis_cluster_node(&redis->cluster, keys[0]);
	int r;

	if (node->breaker != THR_REDIS_CLOSED)
		return -ENOTCONN;
	r = thr_redis_command_make(&redis->desk, script, &words, call);
	if (r < 0)
		return r;
	call->script = script;
	call->why = NULL;
	call->moves = 0;
	call->is_asking = false;
	call->sent_ns = thr_loop_now_ns(redis->shared.loop);
	r = thr_redis_node_send(node, call);
	if (r < 0)
		thr_redis_call_end(call);
	return r;
}

void thr_redis_forget(struct thr_redis *redis, struct thr_redis_call *call)
{
	(void)redis;
	if (call->node)
		thr_redis_node_forget(call->node, call);
}

/* --- how it is --- */

bool thr_redis_is_available(const struct thr_redis *redis, struct thr_slice key)
{
	return thr_redis_cluster_node(&redis->cluster, key)->breaker == THR_REDIS_CLOSED;
}

unsigned int thr_redis_breaker(const struct thr_redis *redis)
{
	const struct thr_redis_cluster *cluster = &redis->cluster;
	unsigned int worst = THR_REDIS_CLOSED;

	for (size_t i = 0; i < cluster->node_count; i++)
		if (cluster->nodes[i]->breaker > worst && thr_redis_cluster_needs(cluster, i))
			worst = cluster->nodes[i]->breaker;
	return worst;
}

uint64_t thr_redis_retry_ms(const struct thr_redis *redis)
{
	const struct thr_redis_cluster *cluster = &redis->cluster;
	uint64_t soonest = 0;

	for (size_t i = 0; i < cluster->node_count; i++) {
		uint64_t retry_ms = thr_redis_node_retry_ms(cluster->nodes[i]);

		if (retry_ms && (!soonest || retry_ms < soonest) &&
		    thr_redis_cluster_needs(cluster, i))
			soonest = retry_ms;
	}
	return soonest;
}

/* --- beginning and end --- */

/* As SCRIPT LOAD names it: the SHA-1 of its text in hexadecimal. */
static int name_script(struct thr_redis_script *script)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length;

	if (EVP_Digest(script->text, script->length, digest, &length, EVP_sha1(), NULL) != 1)
		return -ENOMEM;
	for (size_t i = 0; i < length && i < (sizeof(script->sha) - 1) / 2; i++)
		snprintf(&script->sha[2 * i], 3, "%02x", digest[i]);
	return 0;
}

static void release(struct thr_deferred *deferred)
{
	struct thr_redis *redis = THR_CONTAINER(deferred, struct thr_redis, deferred);

	SSL_CTX_free(redis->shared.tls);
	thr_redis_settings_clear(&redis->settings);
	thr_redis_desk_clear(&redis->desk);
	free(redis->cluster.owner);
	free(redis);
}

static int set_up(struct thr_redis *redis, struct thr_redis_script *scripts,
		  struct thr_error *error)
{
	const struct thr_redis_settings *settings = &redis->settings;
	int r = 0;

	for (size_t i = 0; i < redis->shared.script_count && !r; i++)
		r = name_script(&scripts[i]);
	if (!r && settings->tls) {
		r = thr_redis_tls_context(settings, &redis->shared.tls, error);
		if (r < 0)
			return r;
	}
	if (!r)
		r = thr_redis_cluster_begin(&redis->cluster, &redis->shared);
	return r < 0 ? thr_fail(error, -r, "the Redis client: %s", strerror(-r)) : 0;
}

int thr_redis_new(struct thr_loop *loop, struct thr_resolver *resolver,
		  const struct thr_redis_settings *settings, struct thr_redis_script *scripts,
		  size_t script_count, const struct thr_redis_events *events,
		  const struct thr_redis_counts *counts, struct thr_redis **ret_redis,
		  struct thr_error *error)
{
	struct thr_redis *redis = calloc(1, sizeof(*redis));
	int r;

	if (!redis)
		return thr_fail(error, ENOMEM, "the Redis client: %s", strerror(ENOMEM));
	redis->shared = (struct thr_redis_shared){
		.loop = loop,
		.resolver = resolver,
		.settings = &redis->settings,
		.scripts = scripts,
		.script_count = script_count,
		.counts = *counts,
		.answered = on_answered,
		.slots = on_slots,
		.probe_key = probe_key,
		.changed = on_changed,
		.context = redis,
	};
	redis->events = *events;
	redis->deferred.run = release;
	r = thr_redis_settings_copy(settings, &redis->settings);
	if (r < 0)
		thr_fail(error, ENOMEM, "the Redis client: %s", strerror(ENOMEM));
	else
		r = set_up(redis, scripts, error);
	if (r < 0) {
		release(&redis->deferred);
		return r;
	}
	*ret_redis = redis;
	return 0;
}

int thr_redis_check_tls(const struct thr_redis_settings *settings, struct thr_error *error)
{
	SSL_CTX *context;
	int r = thr_redis_tls_context(settings, &context, error);

	if (!r)
		SSL_CTX_free(context);
	return r;
}

void thr_redis_free(struct thr_redis *redis)
{
	if (!redis)
		return;
	thr_redis_cluster_end(&redis->cluster);
	thr_loop_defer(redis->shared.loop, &redis->deferred);
}
