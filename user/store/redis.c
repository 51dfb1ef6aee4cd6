/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The client: the command of a call, the node that it goes to, and what becomes of a reply
 * that sends it elsewhere; see redis.h.
 *
 * There is one node, the one of the settings, until a MOVED shows that it is of a cluster.
 * From then on `owner` says for each slot which node has it, by what MOVED says at once
 * and by CLUSTER SLOTS a little later. The list is asked for again, at most once a second,
 * when a MOVED shows that it is old and while a node does not answer: its slots may have
 * gone to a replica. Nodes that no slot needs are given up; the first one stays, for it is
 * what the user named and the way back when all others are gone.
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

#include "store/redis_command.h"
#include "store/redis_node.h"
#include "store/redis_slots.h"
#include "store/redis_tls.h"

#define MOVES_MAX 5
#define NODES_MAX 256
#define NOBODY UINT16_MAX /* has the slot */
#define REFRESH_MS 1000
#define PROBE_TRIES 4096 /* numbers until one falls into a slot of the node */

struct thr_redis {
	struct thr_redis_shared shared;
	struct thr_redis_settings settings; /* a copy */
	struct thr_redis_events events;
	struct thr_deferred deferred;

	struct thr_redis_node *nodes[NODES_MAX]; /* [0]: that of the settings */
	size_t node_count;
	uint16_t *owner; /* of each slot, an index of nodes or NOBODY; NULL: no cluster */
	bool wants_slots;
	uint64_t asked_slots_ms; /* when; 0: never */

	struct thr_redis_desk desk;
};

/* --- nodes --- */

static struct thr_redis_node *node_of(const struct thr_redis *redis, struct thr_slice key)
{
	uint16_t owner;

	if (!redis->owner)
		return redis->nodes[0];
	owner = redis->owner[thr_redis_slot(key)];
	return redis->nodes[owner == NOBODY ? 0 : owner];
}

static size_t index_of(const struct thr_redis *redis, const struct thr_redis_node *node)
{
	size_t i = 0;

	while (i < redis->node_count && redis->nodes[i] != node)
		i++;
	return i;
}

static bool is_at(const struct thr_redis_node *node, struct thr_slice host, uint16_t port)
{
	return node->host && node->port == port && thr_slice_is_word(host, node->host);
}

/* The node at an address, made when there is none. An empty host is that of `asked`.
 * Returns its index or a negative errno. */
static int find_node(struct thr_redis *redis, const struct thr_redis_node *asked,
		     const struct thr_redis_place *place)
{
	struct thr_slice host = place->host;
	char *copy;
	int r;

	if (!host.length && !asked->host)
		return (int)index_of(redis, asked);
	if (!host.length)
		host = (struct thr_slice){asked->host, strlen(asked->host)};
	for (size_t i = 0; i < redis->node_count; i++)
		if (is_at(redis->nodes[i], host, place->port))
			return (int)i;
	if (redis->node_count == NODES_MAX)
		return -ENOBUFS;
	copy = strndup(host.at, host.length);
	if (!copy)
		return -ENOMEM;
	r = thr_redis_node_new(&redis->shared, copy, place->port, &redis->nodes[redis->node_count]);
	free(copy);
	return r < 0 ? r : (int)redis->node_count++;
}

/* --- who has which slot --- */

static void set_owner(struct thr_redis *redis, const struct thr_redis_place *place, int node)
{
	if (!redis->owner) {
		redis->owner = malloc(THR_REDIS_SLOTS * sizeof(*redis->owner));
		if (!redis->owner)
			return;
		for (size_t slot = 0; slot < THR_REDIS_SLOTS; slot++)
			redis->owner[slot] = NOBODY;
	}
	for (size_t slot = place->first_slot; slot <= place->last_slot; slot++)
		redis->owner[slot] = (uint16_t)node;
}

static bool has_slot(const struct thr_redis *redis, size_t node)
{
	for (size_t slot = 0; redis->owner && slot < THR_REDIS_SLOTS; slot++)
		if (redis->owner[slot] == node)
			return true;
	return false;
}

/* Give up nodes, from the last to the second, that no slot and no call needs. */
static void drop_nodes(struct thr_redis *redis)
{
	for (size_t i = redis->node_count; i-- > 1;) {
		struct thr_redis_node *node = redis->nodes[i];
		size_t last = redis->node_count - 1;

		if (has_slot(redis, i) || !thr_link_is_empty(&node->calls) ||
		    !thr_link_is_empty(&node->failing))
			continue;
		thr_redis_node_free(node);
		redis->nodes[i] = redis->nodes[last];
		redis->node_count--;
		for (size_t slot = 0; i != last && slot < THR_REDIS_SLOTS; slot++)
			if (redis->owner[slot] == last)
				redis->owner[slot] = (uint16_t)i;
	}
}

/* Ask the node, or any that is ready, when it is time for it. */
static void ask_slots(struct thr_redis *redis, struct thr_redis_node *node)
{
	uint64_t now_ms = thr_loop_now_ms(redis->shared.loop);

	if (!redis->owner || !redis->wants_slots ||
	    (redis->asked_slots_ms && now_ms - redis->asked_slots_ms < REFRESH_MS))
		return;
	for (size_t i = 0; i < redis->node_count && node->stage != NODE_READY; i++)
		node = redis->nodes[i];
	if (thr_redis_node_ask_slots(node) < 0)
		return;
	redis->wants_slots = false;
	redis->asked_slots_ms = now_ms;
}

static void on_slots(void *context, struct thr_redis_node *node, const redisReply *reply)
{
	struct thr_redis *redis = context;
	struct thr_redis_place place;
	bool understood = false;

	for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
		int found;

		if (!thr_redis_range_parse(reply->element[i], &place))
			continue;
		found = find_node(redis, node, &place);
		if (found < 0)
			continue;
		set_owner(redis, &place, found);
		understood = true;
	}
	if (understood)
		drop_nodes(redis);
	else
		redis->wants_slots = true;
}

/* A key in a slot of the node, so that the write of its greeting is one that it serves. */
static char *probe_key(void *context, const struct thr_redis_node *node)
{
	const struct thr_redis *redis = context;
	const char *prefix = redis->settings.key_prefix ? redis->settings.key_prefix : "";
	size_t index = index_of(redis, node);
	char *key;

	for (unsigned int number = 0; redis->owner && number < PROBE_TRIES; number++) {
		int length = asprintf(&key, "%sprobe:{%u}", prefix, number);

		if (length < 0)
			return NULL;
		if (redis->owner[thr_redis_slot((struct thr_slice){key, (size_t)length})] == index)
			return key;
		free(key);
	}
	return NULL;
}

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
		to = find_node(redis, from, &place);
	if (to < 0) {
		finish(call, NULL, "the Redis cluster names a server that cannot be asked");
		return;
	}
	call->is_asking = is_ask;
	if (!is_ask) {
		set_owner(redis, &place, to);
		redis->wants_slots = true;
		ask_slots(redis, from);
	}
	send_again(redis->nodes[to], call);
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

static void on_changed(void *context, struct thr_redis_node *node, bool bad, const char *text)
{
	struct thr_redis *redis = context;

	redis->wants_slots |= bad;
	ask_slots(redis, node);
	if (text && redis->events.changed)
		redis->events.changed(redis->events.context, bad, text);
}

int thr_redis_eval(struct thr_redis *redis, struct thr_redis_call *call,
		   const struct thr_redis_script *script, const struct thr_slice *keys,
		   size_t key_count, const struct thr_slice *arguments, size_t argument_count)
{
	const struct thr_redis_words words = {keys, key_count, arguments, argument_count};
	struct thr_redis_node *node = node_of(redis, keys[0]);
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
	return node_of(redis, key)->breaker == THR_REDIS_CLOSED;
}

/* Those that calls go to: of a cluster, not the first one when it has no slot. */
static bool is_needed(const struct thr_redis *redis, size_t node)
{
	return redis->owner ? has_slot(redis, node) : node == 0;
}

unsigned int thr_redis_breaker(const struct thr_redis *redis)
{
	unsigned int worst = THR_REDIS_CLOSED;

	for (size_t i = 0; i < redis->node_count; i++)
		if (redis->nodes[i]->breaker > worst && is_needed(redis, i))
			worst = redis->nodes[i]->breaker;
	return worst;
}

uint64_t thr_redis_retry_ms(const struct thr_redis *redis)
{
	uint64_t soonest = 0;

	for (size_t i = 0; i < redis->node_count; i++) {
		uint64_t retry_ms = thr_redis_node_retry_ms(redis->nodes[i]);

		if (retry_ms && (!soonest || retry_ms < soonest) && is_needed(redis, i))
			soonest = retry_ms;
	}
	return soonest;
}

/* --- beginning and end --- */

static void free_settings(struct thr_redis_settings *settings)
{
	char *text[] = {settings->host,	       settings->socket,     settings->user,
			settings->password,    settings->key_prefix, settings->ca,
			settings->certificate, settings->key};

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		if (text[i])
			explicit_bzero(text[i], strlen(text[i]));
		free(text[i]);
	}
}

static int copy_text(char **text)
{
	if (!*text)
		return 0;
	*text = strdup(*text);
	return *text ? 0 : -ENOMEM;
}

static int copy_settings(const struct thr_redis_settings *from, struct thr_redis_settings *to)
{
	int r = 0;

	*to = *from;
	r |= copy_text(&to->host);
	r |= copy_text(&to->socket);
	r |= copy_text(&to->user);
	r |= copy_text(&to->password);
	r |= copy_text(&to->key_prefix);
	r |= copy_text(&to->ca);
	r |= copy_text(&to->certificate);
	r |= copy_text(&to->key);
	return r;
}

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
	free_settings(&redis->settings);
	thr_redis_desk_clear(&redis->desk);
	free(redis->owner);
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
		r = thr_redis_node_new(&redis->shared, NULL, settings->port, &redis->nodes[0]);
	redis->node_count = r ? 0 : 1;
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
	r = copy_settings(settings, &redis->settings);
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

void thr_redis_free(struct thr_redis *redis)
{
	if (!redis)
		return;
	for (size_t i = 0; i < redis->node_count; i++)
		thr_redis_node_free(redis->nodes[i]);
	redis->node_count = 0;
	thr_loop_defer(redis->shared.loop, &redis->deferred);
}
