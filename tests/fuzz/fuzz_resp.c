/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as what servers answer to the whole Redis client, but for its sockets: links are
 * made here. A call is called back once at most and never after it was forgotten, whatever
 * comes; nothing is leaked.
 *
 * The first byte says how: bit 0, whether the first commands of connections are answered
 * well before the bytes begin; bit 1, whether pieces go to each link in turn or to the
 * last one that was opened; bit 2, whether every third call is forgotten. The second: how
 * long the pieces are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/holds.h"
#include "store/redis.h"
#include "store/redis_link.h"

/* --- links --- */

#define LINKS 8

struct thr_redis_link {
	struct thr_redis_link_parts parts;
	struct thr_deferred deferred;
	bool is_open, is_closed;
};

static struct thr_redis_link *links[LINKS];
static size_t link_count;

static void release(struct thr_deferred *deferred)
{
	struct thr_redis_link *link = THR_CONTAINER(deferred, struct thr_redis_link, deferred);

	for (size_t i = 0; i < LINKS; i++)
		if (links[i] == link)
			links[i] = NULL;
	free(link);
}

int thr_redis_link_open(const struct thr_redis_link_parts *parts, struct thr_redis_link **ret_link)
{
	struct thr_redis_link *link = calloc(1, sizeof(*link));

	if (!link || link_count == LINKS) {
		free(link);
		return -1;
	}
	link->parts = *parts;
	link->deferred.run = release;
	*ret_link = links[link_count++] = link;
	return 0;
}

int thr_redis_link_send(struct thr_redis_link *link, const void *bytes, size_t length)
{
	HOLDS(link->is_open && !link->is_closed);
	HOLDS(length && *(const char *)bytes == '*');
	return 0;
}

void thr_redis_link_close(struct thr_redis_link *link)
{
	if (!link || link->is_closed)
		return;
	link->is_closed = true;
	thr_loop_defer(link->parts.loop, &link->deferred);
}

/* --- calls --- */

#define CALLS 12
#define SCRIPTS 1

static struct {
	struct thr_redis *redis;
	struct call {
		struct thr_redis_call base;
		bool in_flight, is_done;
	} calls[CALLS];
	bool is_gone;
} ours;

static struct thr_redis_script script = {.text = "return 1", .length = 8};

static void on_done(struct thr_redis_call *base, const struct redisReply *reply)
{
	struct call *call = THR_CONTAINER(base, struct call, base);

	HOLDS(!ours.is_gone && call->in_flight && !call->is_done);
	HOLDS(reply || call->base.why);
	call->in_flight = false;
	call->is_done = true;
}

static void on_changed(void *context, bool bad, const char *text)
{
	(void)context, (void)bad;
	HOLDS(strlen(text) > 0);
	for (; *text; text++)
		HOLDS((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void begin_call(size_t number)
{
	static const char *const names[] = {"foo", "bar", "{foo}x"};
	struct call *call = &ours.calls[number];
	const char *name = names[number % 3];
	struct thr_slice key = {name, strlen(name)};

	*call = (struct call){.base.done = on_done};
	if (thr_redis_eval(ours.redis, &call->base, &script, &key, 1, &key, 1) == 0)
		call->in_flight = true;
}

static void forget_call(size_t number)
{
	thr_redis_forget(ours.redis, &ours.calls[number].base);
	ours.calls[number].in_flight = false;
}

/* --- the run --- */

static void feed(struct thr_redis_link *link, const char *bytes, size_t length)
{
	/* Of its very size, so that a read past the end is caught. */
	char *copy = malloc(length ? length : 1);

	HOLDS(copy);
	memcpy(copy, bytes, length);
	link->parts.received(link->parts.context, copy, length);
	free(copy);
}

static void open_links(bool greeted)
{
	for (size_t i = 0; i < link_count; i++) {
		struct thr_redis_link *link = links[i];

		if (!link || link->is_closed || link->is_open)
			continue;
		link->is_open = true;
		link->parts.opened(link->parts.context);
		if (greeted && !link->is_closed)
			feed(link, "+OK\r\n+OK\r\n", 10);
	}
}

static struct thr_redis_link *next_link(bool in_turn, size_t piece)
{
	for (size_t i = 0; i < link_count; i++) {
		size_t at = in_turn ? (piece + i) % link_count : link_count - 1 - i;

		if (links[at] && links[at]->is_open && !links[at]->is_closed)
			return links[at];
	}
	return NULL;
}

static void run(struct thr_loop *loop, const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data + 2;
	size_t left = size - 2, length = 1 + data[1];

	for (size_t i = 0; i < CALLS; i++)
		begin_call(i);
	for (size_t piece = 0; left; piece++) {
		struct thr_redis_link *link;
		size_t now = length < left ? length : left;

		open_links(data[0] & 1);
		if ((data[0] & 4) && piece < CALLS / 3)
			forget_call(3 * piece);
		link = next_link(data[0] & 2, piece);
		if (!link)
			return;
		feed(link, bytes, now);
		bytes += now;
		left -= now;
		HOLDS(thr_loop_turn(loop, 0) == 0);
		if (ours.calls[piece % CALLS].is_done)
			begin_call(piece % CALLS);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct thr_redis_settings settings = {
		.host = (char *)(uintptr_t) "127.0.0.1",
		.port = 6379,
		.key_prefix = (char *)(uintptr_t) "x:",
		.deadline_ms = 60000,
		.failures = 3,
	};
	struct thr_redis_events events = {on_changed, NULL};
	struct thr_redis_counts counts = {NULL, NULL, NULL, NULL};
	struct thr_loop *loop;

	if (size < 2)
		return 0;
	link_count = 0;
	memset(&ours, 0, sizeof(ours));
	HOLDS(thr_loop_new(&loop) == 0);
	HOLDS(thr_redis_new(loop, NULL, &settings, &script, SCRIPTS, &events, &counts, &ours.redis,
			    NULL) == 0);
	run(loop, data, size);
	HOLDS(thr_redis_breaker(ours.redis) <= 2);
	thr_redis_free(ours.redis);
	ours.is_gone = true;
	thr_loop_turn(loop, 0);
	thr_loop_free(loop);
	for (size_t i = 0; i < LINKS; i++)
		HOLDS(!links[i]);
	return 0;
}
