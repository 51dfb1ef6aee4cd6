/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connection, calls and breaker of a server; see redis_node.h.
 *
 * A callback may do anything: call again, forget others, free the client. Therefore calls
 * that fail are moved to a list of the node's first, each is taken off before it is called,
 * and nothing of the node is used after a callback but that list, which is empty when the
 * node was freed.
 */
#include "store/redis_node.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/clock.h"
#include "store/redis_greeting.h"
#include "store/redis_link.h"
#include "store/redis_pipe.h"
#include "store/redis_slots.h"

#define TIMER_LATE_MS 16 /* of the loop */

/* Finding the address: as long as it takes with two nameservers that are silent. */
#define FINDING_MS 5000

/* Connecting and greeting, at least: many times what they take, and little enough for a probe
 * that was lost to be noticed. */
#define GREETING_MS 500

#define DELAY_FIRST_MS 100
#define DELAY_MOST_MS 1000

static const char lost_why[] = "the connection to Redis was lost";
static const char late_why[] = "Redis did not answer in time";

static void try_to_open(struct thr_redis_node *node);

static struct thr_redis_call *call_of(struct thr_link *item)
{
	return THR_CONTAINER(item, struct thr_redis_call, item);
}

static void count(uint64_t *counter)
{
	if (counter)
		(*counter)++;
}

/* --- calls --- */

void thr_redis_call_end(struct thr_redis_call *call)
{
	call->node = NULL;
	if (call->bytes)
		redisFreeCommand(call->bytes);
	call->bytes = NULL;
}

uint64_t thr_redis_wait_ms(uint64_t deadline_ms)
{
	if (deadline_ms > 2 * TIMER_LATE_MS)
		return deadline_ms - TIMER_LATE_MS;
	return deadline_ms > 1 ? deadline_ms / 2 : 1;
}

static uint64_t due_ms(const struct thr_redis_node *node, const struct thr_redis_call *call)
{
	return call->sent_ns / THR_NS_PER_MS +
	       thr_redis_wait_ms(node->shared->settings->deadline_ms);
}

static void arm_for_first(struct thr_redis_node *node)
{
	uint64_t now_ms = thr_loop_now_ms(node->shared->loop), due;

	if (thr_link_is_empty(&node->calls))
		return;
	due = due_ms(node, call_of(node->calls.next));
	thr_loop_arm(node->shared->loop, &node->call_timer, due > now_ms ? due - now_ms : 1);
}

/* A call that was moved here from another node is older than those that came since. */
static void keep(struct thr_redis_node *node, struct thr_redis_call *call)
{
	struct thr_link *after = node->calls.prev;

	while (after != &node->calls && call_of(after)->sent_ns > call->sent_ns)
		after = after->prev;
	thr_link_add_first(after, &call->item);
	call->node = node;
	if (node->calls.next == &call->item)
		arm_for_first(node);
}

static void take_off(struct thr_redis_node *node, struct thr_redis_call *call)
{
	thr_link_remove(&call->item);
	if (!call->is_sent)
		node->unsent_bytes -= call->length;
}

static void fail_later(struct thr_redis_node *node, struct thr_redis_call *call, const char *why)
{
	take_off(node, call);
	call->why = why;
	thr_link_add_last(&node->failing, &call->item);
}

static void call_back_failing(struct thr_redis_node *node)
{
	while (!thr_link_is_empty(&node->failing)) {
		struct thr_redis_call *call = call_of(node->failing.next);

		thr_link_remove(&call->item);
		thr_redis_call_end(call);
		call->done(call, NULL);
	}
}

static int transmit(struct thr_redis_node *node, struct thr_redis_call *call)
{
	static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
	int r = thr_redis_pipe_reserve(node->pipe, 2);

	if (!r && call->is_asking) {
		r = thr_redis_link_send(node->link, asking, sizeof(asking) - 1);
		if (!r)
			thr_redis_pipe_expect(node->pipe, THR_GREET_ASKING, NULL);
	}
	if (!r)
		r = thr_redis_link_send(node->link, call->bytes, call->length);
	if (r < 0)
		return r;
	call->place = thr_redis_pipe_expect(node->pipe, THR_GREET_CALL, call);
	call->is_sent = true;
	count(node->shared->counts.commands);
	return 0;
}

int thr_redis_node_send(struct thr_redis_node *node, struct thr_redis_call *call)
{
	int r = 0;

	if (node->breaker != THR_REDIS_CLOSED)
		return -ENOTCONN;
	call->is_sent = false;
	if (node->stage == NODE_READY)
		r = transmit(node, call);
	else if (node->unsent_bytes + call->length > THR_REDIS_UNSENT_MAX)
		r = -ENOBUFS;
	else
		node->unsent_bytes += call->length;
	if (r < 0)
		return r;
	keep(node, call);
	if (node->stage == NODE_NOWHERE)
		try_to_open(node);
	return 0;
}

void thr_redis_node_forget(struct thr_redis_node *node, struct thr_redis_call *call)
{
	bool is_failing = call->why != NULL;

	if (is_failing)
		thr_link_remove(&call->item);
	else
		take_off(node, call);
	if (!is_failing && call->is_sent)
		thr_redis_pipe_drop(node->pipe, call->place);
	thr_redis_call_end(call);
}

int thr_redis_node_ask_slots(struct thr_redis_node *node)
{
	static const char command[] = "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n";
	int r;

	if (node->stage != NODE_READY)
		return -ENOTCONN;
	if (node->asks_slots)
		return -EALREADY;
	r = thr_redis_pipe_reserve(node->pipe, 1);
	if (!r)
		r = thr_redis_link_send(node->link, command, sizeof(command) - 1);
	if (r < 0)
		return r;
	thr_redis_pipe_expect(node->pipe, THR_GREET_SLOTS, NULL);
	node->asks_slots = true;
	count(node->shared->counts.commands);
	return 0;
}

/* --- the breaker --- */

/* Between a half and one and a half of the delay, so that workers and machines that lost
 * the same server do not come back as one. */
static uint64_t jittered(uint64_t delay_ms)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = 1U << 31;
	return delay_ms / 2 + (delay_ms * random >> 32);
}

static void disconnect(struct thr_redis_node *node)
{
	const struct thr_redis_shared *shared = node->shared;

	thr_redis_link_close(node->link);
	thr_redis_pipe_close(node->pipe);
	node->link = NULL;
	node->pipe = NULL;
	node->stage = NODE_NOWHERE;
	thr_loop_disarm(shared->loop, &node->timer);
	thr_loop_disarm(shared->loop, &node->call_timer);
}

static void tell(struct thr_redis_node *node, bool bad, const char *what)
{
	char text[THR_REDIS_TELL];

	snprintf(text, sizeof(text), "redis %s: %s%s", node->name, what,
		 bad ? ": not asked until it answers" : "");
	thr_clean_line(text);
	node->shared->changed(node->shared->context, node, bad, text);
}

/* Open it. `what` is for people, `why` for the calls. */
static void open_breaker(struct thr_redis_node *node, const char *what, const char *why)
{
	const struct thr_redis_shared *shared = node->shared;
	bool was_closed = node->breaker == THR_REDIS_CLOSED, asked_slots = node->asks_slots;
	char copy[THR_REDIS_TELL];

	/* What it says may belong to what is closed now. */
	snprintf(copy, sizeof(copy), "%s", what);
	disconnect(node);
	node->breaker = THR_REDIS_OPEN;
	node->asks_slots = false;
	node->late = 0;
	while (!thr_link_is_empty(&node->calls))
		fail_later(node, call_of(node->calls.next), why);
	thr_loop_arm(shared->loop, &node->timer, jittered(node->delay_ms));
	node->delay_ms = node->delay_ms * 2 < DELAY_MOST_MS ? node->delay_ms * 2 : DELAY_MOST_MS;
	if (asked_slots)
		shared->slots(shared->context, node, NULL);
	if (was_closed) {
		count(shared->counts.opened);
		tell(node, true, copy);
	} else {
		shared->changed(shared->context, node, true, NULL);
	}
	call_back_failing(node);
}

/* Too many were late before the first connection was ready: it goes on as the probe. */
static void open_half(struct thr_redis_node *node, const char *what)
{
	node->breaker = THR_REDIS_HALF_OPEN;
	node->late = 0;
	while (!thr_link_is_empty(&node->calls))
		fail_later(node, call_of(node->calls.next), late_why);
	thr_loop_disarm(node->shared->loop, &node->call_timer);
	count(node->shared->counts.opened);
	tell(node, true, what);
	call_back_failing(node);
}

static void on_call_timer(struct thr_timer *timer)
{
	struct thr_redis_node *node = THR_CONTAINER(timer, struct thr_redis_node, call_timer);
	uint64_t now_ms = thr_loop_now_ms(node->shared->loop);
	char what[THR_REDIS_TELL];

	while (!thr_link_is_empty(&node->calls)) {
		struct thr_redis_call *call = call_of(node->calls.next);

		if (due_ms(node, call) > now_ms)
			break;
		if (call->is_sent)
			thr_redis_pipe_drop(node->pipe, call->place);
		count(node->shared->counts.timeouts);
		node->late += call->checks ? call->checks : 1;
		fail_later(node, call, late_why);
	}
	snprintf(what, sizeof(what), "no answer within %llums",
		 (unsigned long long)node->shared->settings->deadline_ms);
	if (!node->late || node->late < node->shared->settings->failures) {
		arm_for_first(node);
		call_back_failing(node);
	} else if (node->stage == NODE_READY) {
		open_breaker(node, what, late_why);
	} else {
		open_half(node, what);
	}
}

/* --- replies --- */

/* It answers, and a call of it would be served. */
static void ready(struct thr_redis_node *node)
{
	bool was_closed = node->breaker == THR_REDIS_CLOSED;

	node->stage = NODE_READY;
	node->breaker = THR_REDIS_CLOSED;
	thr_loop_disarm(node->shared->loop, &node->timer);
	for (struct thr_link *item = node->calls.next; item != &node->calls;) {
		struct thr_redis_call *call = call_of(item);

		item = item->next;
		if (transmit(node, call) < 0)
			fail_later(node, call, "out of memory");
		else
			node->unsent_bytes -= call->length;
	}
	if (was_closed)
		node->shared->changed(node->shared->context, node, false, NULL);
	else
		tell(node, false, "answers again");
	call_back_failing(node);
}

static void on_call_reply(struct thr_redis_node *node, struct thr_redis_call *call,
			  const redisReply *reply)
{
	const struct thr_redis_shared *shared = node->shared;
	const char *unfit = thr_redis_unfit(reply);

	if (reply->type == REDIS_REPLY_ERROR)
		count(shared->counts.errors);
	if (unfit) {
		if (call)
			fail_later(node, call, unfit);
		open_breaker(node, reply->str, unfit);
		return;
	}
	if (!call)
		return;
	node->late = 0;
	node->delay_ms = DELAY_FIRST_MS;
	take_off(node, call);
	call->node = NULL;
	shared->answered(shared->context, node, call, reply);
}

static void on_greeting_reply(struct thr_redis_node *node, unsigned int kind,
			      const redisReply *reply)
{
	const char *arguments = reply->str ? strstr(reply->str, ", with args") : NULL;
	char what[THR_REDIS_TELL];

	if (!thr_redis_greeting_is_fine(kind, reply)) {
		/* Of a command that it does not know, a server repeats the arguments: of AUTH,
		 * the password. */
		snprintf(what, sizeof(what), "%s: %.*s", thr_redis_greeting_name(kind),
			 arguments ? (int)(arguments - reply->str) : THR_REDIS_TELL, reply->str);
		count(node->shared->counts.errors);
		open_breaker(node, what,
			     thr_redis_unfit(reply) ? thr_redis_unfit(reply) : lost_why);
	} else if (kind == THR_GREET_PROBE) {
		ready(node);
	}
}

static void on_answered(void *context, unsigned int kind, void *owner, const redisReply *reply)
{
	struct thr_redis_node *node = context;

	switch (kind) {
	case THR_GREET_CALL:
		on_call_reply(node, owner, reply);
		break;
	case THR_GREET_SLOTS:
		node->asks_slots = false;
		node->shared->slots(node->shared->context, node, reply);
		break;
	case THR_GREET_ASKING: /* the command after it tells */
		break;
	default:
		on_greeting_reply(node, kind, reply);
	}
}

/* --- the connection --- */

static void on_found(void *context)
{
	struct thr_redis_node *node = context;
	uint64_t deadline_ms = node->shared->settings->deadline_ms;

	thr_loop_arm(node->shared->loop, &node->timer,
		     deadline_ms > GREETING_MS ? deadline_ms : GREETING_MS);
}

static void on_opened(void *context)
{
	struct thr_redis_node *node = context;
	const struct thr_redis_shared *shared = node->shared;
	char *key = shared->probe_key(shared->context, node);
	int r;

	node->stage = NODE_GREETING;
	r = thr_redis_greet(shared, node->link, node->pipe, key);
	free(key);
	if (r < 0)
		open_breaker(node, strerror(-r), lost_why);
}

static void on_received(void *context, const char *bytes, size_t length)
{
	struct thr_redis_node *node = context;
	const char *why = lost_why;

	if (thr_redis_pipe_feed(node->pipe, bytes, length, &why) < 0) {
		count(node->shared->counts.errors);
		open_breaker(node, why, lost_why);
	}
}

static void on_lost(void *context, const char *why)
{
	struct thr_redis_node *node = context;

	count(node->shared->counts.errors);
	open_breaker(node, why, lost_why);
}

static void try_to_open(struct thr_redis_node *node)
{
	const struct thr_redis_shared *shared = node->shared;
	const struct thr_redis_link_parts parts = {
		.loop = shared->loop,
		.resolver = shared->resolver,
		.host = node->host,
		.socket = node->host ? NULL : shared->settings->socket,
		.port = node->port,
		.turn = node->turn++,
		.tls = shared->tls,
		.found = on_found,
		.opened = on_opened,
		.received = on_received,
		.lost = on_lost,
		.context = node,
	};

	/* The timer ends what cannot even be begun for want of memory. */
	node->stage = NODE_OPENING;
	thr_loop_arm(shared->loop, &node->timer, FINDING_MS);
	if (thr_redis_pipe_new(on_answered, node, &node->pipe) < 0 ||
	    thr_redis_link_open(&parts, &node->link) < 0)
		thr_loop_arm(shared->loop, &node->timer, 1);
}

void thr_redis_node_wake(struct thr_redis_node *node)
{
	if (node->stage == NODE_NOWHERE && node->breaker == THR_REDIS_CLOSED)
		try_to_open(node);
}

static void on_timer(struct thr_timer *timer)
{
	struct thr_redis_node *node = THR_CONTAINER(timer, struct thr_redis_node, timer);

	if (node->breaker == THR_REDIS_OPEN) {
		node->breaker = THR_REDIS_HALF_OPEN;
		try_to_open(node);
	} else {
		count(node->shared->counts.timeouts);
		open_breaker(node,
			     node->stage == NODE_OPENING ? "no connection to it in time"
							 : "it does not greet in time",
			     late_why);
	}
}

uint64_t thr_redis_node_retry_ms(const struct thr_redis_node *node)
{
	uint64_t now_ms = thr_loop_now_ms(node->shared->loop);

	if (node->breaker != THR_REDIS_OPEN)
		return 0;
	return node->timer.due_ms > now_ms ? node->timer.due_ms - now_ms : 1;
}

/* --- beginning and end --- */

static void release(struct thr_deferred *deferred)
{
	struct thr_redis_node *node = THR_CONTAINER(deferred, struct thr_redis_node, deferred);

	free(node->host);
	free(node->name);
	free(node);
}

static int name_node(struct thr_redis_node *node, const char *host)
{
	const struct thr_redis_settings *settings = node->shared->settings;

	if (!host && settings->socket) {
		node->name = strdup(settings->socket);
		return node->name ? 0 : -ENOMEM;
	}
	node->host = strdup(host ? host : settings->host);
	if (!node->host || asprintf(&node->name, strchr(node->host, ':') ? "[%s]:%u" : "%s:%u",
				    node->host, node->port) < 0) {
		node->name = NULL;
		return -ENOMEM;
	}
	return 0;
}

int thr_redis_node_new(const struct thr_redis_shared *shared, const char *host, uint16_t port,
		       struct thr_redis_node **ret_node)
{
	struct thr_redis_node *node = calloc(1, sizeof(*node));

	if (!node)
		return -ENOMEM;
	node->shared = shared;
	node->port = port;
	node->delay_ms = DELAY_FIRST_MS;
	node->timer.fire = on_timer;
	node->call_timer.fire = on_call_timer;
	node->deferred.run = release;
	thr_link_init(&node->calls);
	thr_link_init(&node->failing);
	if (name_node(node, host) < 0) {
		release(&node->deferred);
		return -ENOMEM;
	}
	*ret_node = node;
	return 0;
}

static void drop_all(struct thr_link *head)
{
	while (!thr_link_is_empty(head)) {
		struct thr_redis_call *call = call_of(head->next);

		thr_link_remove(&call->item);
		thr_redis_call_end(call);
	}
}

void thr_redis_node_free(struct thr_redis_node *node)
{
	if (!node)
		return;
	disconnect(node);
	drop_all(&node->calls);
	drop_all(&node->failing);
	thr_loop_defer(node->shared->loop, &node->deferred);
}
