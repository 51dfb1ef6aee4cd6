/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One server: a connection that is ready to serve or is being made so, the calls that are
 * on it, their deadlines, and the circuit breaker.
 *
 *   stage      NOWHERE --> OPENING --> GREETING --> READY
 *                 ^        connect,    AUTH, SELECT,  |   the connection is lost, or the
 *                 |        TLS         scripts, SET   |   breaker opens: every call is
 *                 '-----------------------------------'   called back
 *
 *   breaker    CLOSED     calls are taken. Before the first connection is ready they wait
 *                         for it, within their deadline.
 *              OPEN       nowhere; the timer says when it is tried again
 *              HALF_OPEN  opening or greeting; calls are refused
 *
 * All calls have the same deadline, so the list of them is in the order of their time, and
 * one timer serves it, armed once for many calls: the loop fires late, so it is armed
 * early, by thr_redis_wait_ms(), and nobody waits longer than the deadline.
 */
#ifndef THR_REDIS_NODE_H
#define THR_REDIS_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/link.h"
#include "core/loop.h"
#include "core/resolve.h"
#include "core/slice.h"
#include "store/redis.h"

struct thr_redis_link;
struct thr_redis_node;
struct thr_redis_pipe;
struct ssl_ctx_st;

/* What the nodes of a client have in common. */
struct thr_redis_shared {
	struct thr_loop *loop;
	struct thr_resolver *resolver;
	const struct thr_redis_settings *settings;
	struct ssl_ctx_st *tls;
	const struct thr_redis_script *scripts;
	size_t script_count;
	struct thr_redis_counts counts;

	/* A call was answered by something that does not speak of the server's health; the node
	 * has forgotten it. */
	void (*answered)(void *context, struct thr_redis_node *node, struct thr_redis_call *call,
			 const struct redisReply *reply);
	/* What CLUSTER SLOTS was answered; NULL: nothing will be. */
	void (*slots)(void *context, struct thr_redis_node *node, const struct redisReply *reply);
	/* Another key than the prefix's for the write that a greeting ends with: one that the
	 * node itself has. NULL: any. To be freed by free(). */
	char *(*probe_key)(void *context, const struct thr_redis_node *node);
	/* The breaker has opened or closed; without a text: a probe has failed, or the first
	 * connection is ready. */
	void (*changed)(void *context, struct thr_redis_node *node, bool bad, const char *text);
	void *context;
};

enum thr_redis_breaker { THR_REDIS_CLOSED, THR_REDIS_HALF_OPEN, THR_REDIS_OPEN };

struct thr_redis_node {
	/* to be read */
	char *host; /* NULL: the settings' socket */
	char *name; /* for people */
	uint16_t port;
	enum thr_redis_breaker breaker;
	enum { NODE_NOWHERE, NODE_OPENING, NODE_GREETING, NODE_READY } stage;

	/* its own */
	const struct thr_redis_shared *shared;
	struct thr_link calls;	 /* in flight, or waiting for the first connection */
	struct thr_link failing; /* to be called back with NULL */
	size_t unsent_bytes;	 /* of those that wait */
	struct thr_redis_link *link;
	struct thr_redis_pipe *pipe;
	struct thr_timer timer;	     /* open: the next probe; opening, greeting: their end */
	struct thr_timer call_timer; /* the deadline of the first call, or sooner */
	struct thr_deferred deferred;
	uint32_t late;	   /* checks in a row whose calls were late */
	uint64_t delay_ms; /* of the next probe, before its jitter */
	unsigned int turn; /* connections tried */
	bool asks_slots;
};

/* `host` NULL: that of the settings, or their socket. `shared` outlives the node, and what
 * the node has put off to the end of the turn does not need it. Returns 0 or -ENOMEM. */
int thr_redis_node_new(const struct thr_redis_shared *shared, const char *host, uint16_t port,
		       struct thr_redis_node **ret_node);

/* Its calls are not called back. Its memory goes at the end of the turn. NULL-safe. */
void thr_redis_node_free(struct thr_redis_node *node);

/* Returns 0, -ENOTCONN, -ENOBUFS or -ENOMEM; the call is the node's when it is 0. */
int thr_redis_node_send(struct thr_redis_node *node, struct thr_redis_call *call);

/* For a call that the node has. */
void thr_redis_node_forget(struct thr_redis_node *node, struct thr_redis_call *call);

/* Connect when that was never asked for. */
void thr_redis_node_wake(struct thr_redis_node *node);

/* Ask for CLUSTER SLOTS. Returns 0, -EALREADY, -ENOTCONN, -ENOBUFS or -ENOMEM. */
int thr_redis_node_ask_slots(struct thr_redis_node *node);

/* Milliseconds until the next probe, at least 1; 0 when the breaker is not open. */
uint64_t thr_redis_node_retry_ms(const struct thr_redis_node *node);

/* The call is over: what the client keeps of it is freed. */
void thr_redis_call_end(struct thr_redis_call *call);

#endif
