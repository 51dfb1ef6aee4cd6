/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The first words of a connection, and errors by their first word; see redis_greeting.h. */
#include "store/redis_greeting.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/redis_link.h"
#include "store/redis_node.h"
#include "store/redis_pipe.h"
#include "store/redis_slots.h"

#define PROBE_TTL_MS "1000"
#define WORDS_MAX 5

struct greeting {
	const struct thr_redis_shared *shared;
	struct thr_redis_link *link;
	struct thr_redis_pipe *pipe;
	int failed; /* the first errno, negative */
};

static void say(struct greeting *greeting, unsigned int kind, const struct thr_slice *words,
		size_t count)
{
	const char *at[WORDS_MAX];
	size_t length[WORDS_MAX];
	char *bytes;
	int r, size;

	for (size_t i = 0; i < count; i++) {
		at[i] = words[i].at;
		length[i] = words[i].length;
	}
	if (greeting->failed)
		return;
	size = redisFormatCommandArgv(&bytes, (int)count, at, length);
	if (size < 0) {
		greeting->failed = -ENOMEM;
		return;
	}
	r = thr_redis_pipe_reserve(greeting->pipe, 1);
	if (!r)
		r = thr_redis_link_send(greeting->link, bytes, (size_t)size);
	redisFreeCommand(bytes);
	greeting->failed = r;
	if (r < 0)
		return;
	thr_redis_pipe_expect(greeting->pipe, kind, NULL);
	if (greeting->shared->counts.commands)
		++*greeting->shared->counts.commands;
}

static struct thr_slice text_of(const char *text)
{
	return (struct thr_slice){text, strlen(text)};
}

static void authenticate(struct greeting *greeting)
{
	const struct thr_redis_settings *settings = greeting->shared->settings;
	struct thr_slice words[3] = {THR_SLICE("AUTH")};
	size_t count = 1;

	if (!settings->password)
		return;
	if (settings->user)
		words[count++] = text_of(settings->user);
	words[count++] = text_of(settings->password);
	say(greeting, THR_GREET_AUTH, words, count);
}

static void select_database(struct greeting *greeting)
{
	uint32_t database = greeting->shared->settings->database;
	char number[16];
	int length = snprintf(number, sizeof(number), "%u", database);

	if (database)
		say(greeting, THR_GREET_SELECT,
		    (struct thr_slice[]){THR_SLICE("SELECT"), {number, (size_t)length}}, 2);
}

/* What takings do, without one: so that a server that lets a user or a script not do it is not
 * taken for one that answers. */
static void write_probe(struct greeting *greeting, const char *key)
{
	static const char probe[] = "redis.call('TIME') redis.call('GET', KEYS[1])\n"
				    "redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])\n"
				    "redis.call('DEL', KEYS[1])\n";
	const char *prefix = greeting->shared->settings->key_prefix;
	char *made = NULL;

	if (!key && asprintf(&made, "%sprobe", prefix ? prefix : "") < 0) {
		greeting->failed = -ENOMEM;
		return;
	}
	say(greeting, THR_GREET_PROBE,
	    (struct thr_slice[]){THR_SLICE("EVAL"), text_of(probe), THR_SLICE("1"),
				 text_of(key ? key : made), THR_SLICE(PROBE_TTL_MS)},
	    5);
	free(made);
}

int thr_redis_greet(const struct thr_redis_shared *shared, struct thr_redis_link *link,
		    struct thr_redis_pipe *pipe, const char *key)
{
	struct greeting greeting = {shared, link, pipe, 0};

	authenticate(&greeting);
	select_database(&greeting);
	for (size_t i = 0; i < shared->script_count; i++)
		say(&greeting, THR_GREET_SCRIPT,
		    (struct thr_slice[]){THR_SLICE("SCRIPT"),
					 THR_SLICE("LOAD"),
					 {shared->scripts[i].text, shared->scripts[i].length}},
		    3);
	write_probe(&greeting, key);
	return greeting.failed;
}

bool thr_redis_greeting_is_fine(unsigned int kind, const redisReply *reply)
{
	struct thr_slice error;

	if (reply->type != REDIS_REPLY_ERROR)
		return true;
	error = (struct thr_slice){reply->str, reply->len};
	return kind == THR_GREET_PROBE &&
	       (thr_redis_error_is(error, "MOVED") || thr_redis_error_is(error, "ASK"));
}

const char *thr_redis_greeting_name(unsigned int kind)
{
	static const char *const names[] = {
		[THR_GREET_AUTH] = "AUTH",
		[THR_GREET_SELECT] = "SELECT",
		[THR_GREET_SCRIPT] = "SCRIPT LOAD",
		[THR_GREET_PROBE] = "EVAL",
	};

	return names[kind];
}

static const struct {
	const char *word, *why;
} unfit[] = {
	{"LOADING", "Redis is still loading its data"},
	{"READONLY", "this Redis is a replica that takes no writes"},
	{"OOM", "the memory of Redis is full"},
	{"MASTERDOWN", "this Redis is a replica that has lost its master"},
	{"CLUSTERDOWN", "the Redis cluster is down"},
	{"MISCONF", "Redis takes no writes because it cannot save them"},
	{"NOREPLICAS", "Redis takes no writes because it lacks replicas"},
	{"BUSY", "a script keeps Redis busy"},
	{"UNKILLABLE", "a script keeps Redis busy"},
	{"NOAUTH", "Redis asks for a password"},
	{"WRONGPASS", "Redis refuses the user or the password"},
	{"NOPERM", "the user of Redis may not do this"},
	{"ERR The user executing the script", "the user of Redis may not do this"}, /* Redis 7 */
	{"DENIED", "Redis refuses the connection"},
	{"ERR max", "Redis has too many clients"},
};

const char *thr_redis_unfit(const redisReply *reply)
{
	static const char within[] = ": -"; /* up to Redis 6, an error that a script met */
	struct thr_slice error;
	const char *inner;

	if (reply->type != REDIS_REPLY_ERROR)
		return NULL;
	error = (struct thr_slice){reply->str, reply->len};
	inner = strstr(reply->str, within);
	if (inner && strncmp(reply->str, "ERR Error running script", 24) == 0) {
		inner += sizeof(within) - 1;
		error = (struct thr_slice){inner, strlen(inner)};
	}
	for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++)
		if (thr_redis_error_is(error, unfit[i].word))
			return unfit[i].why;
	return NULL;
}
