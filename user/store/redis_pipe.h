/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which reply is for whom: Redis answers a connection's commands in their order, so what
 * was sent stands in a queue, and each reply goes to the first of it. Who gives up leaves
 * an empty place behind, by which the late reply is dropped.
 *
 * Replies are read by libhiredis' reader (RESP2). What a server that is mad can make us
 * hold is bounded: REPLY bytes and ELEMENTS a reply, LINE bytes a line.
 */
#ifndef THR_REDIS_PIPE_H
#define THR_REDIS_PIPE_H

#include <stddef.h>
#include <stdint.h>

struct redisReply;
struct thr_redis_pipe;

#define THR_REDIS_REPLY_MAX (64 << 20)	 /* bytes */
#define THR_REDIS_ELEMENTS_MAX (1 << 20) /* of all arrays of a reply */
#define THR_REDIS_LINE_MAX (64 << 10)	 /* also what finding a line's end costs a read */

/* `owner` is NULL where nobody waits any more. The reply is valid in the call, which may
 * close the pipe. */
typedef void thr_redis_answered(void *context, unsigned int kind, void *owner,
				const struct redisReply *reply);

/* Returns 0 or -ENOMEM. */
int thr_redis_pipe_new(thr_redis_answered *answered, void *context,
		       struct thr_redis_pipe **ret_pipe);

/* Nothing is called any more; it may be in a call of its own. NULL-safe. */
void thr_redis_pipe_close(struct thr_redis_pipe *pipe);

/* Room for `count` more places: thr_redis_pipe_expect() cannot fail then. Returns 0 or
 * -ENOMEM. */
int thr_redis_pipe_reserve(struct thr_redis_pipe *pipe, size_t count);

/* A command was sent, of the caller's `kind`. Returns the number of its place. */
uint64_t thr_redis_pipe_expect(struct thr_redis_pipe *pipe, unsigned int kind, void *owner);

/* The owner of a place that was not answered yet does not wait any more. */
void thr_redis_pipe_drop(struct thr_redis_pipe *pipe, uint64_t number);

/* Bytes have come. Returns 0, or -EPROTO with *ret_why, a static phrase: the connection is
 * of no use any more. */
int thr_redis_pipe_feed(struct thr_redis_pipe *pipe, const char *bytes, size_t length,
			const char **ret_why);

#endif
