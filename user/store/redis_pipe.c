/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A ring of those that wait, and hiredis' reader with bounds; see redis_pipe.h. */
#include "store/redis_pipe.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 64 /* a power of two, as every room of the ring is */

struct place {
	void *owner;
	unsigned int kind;
};

struct thr_redis_pipe {
	thr_redis_answered *answered;
	void *context;
	redisReader *reader;
	redisReplyObjectFunctions functions; /* the reader's own, but for arrays */
	void *(*create_array)(const redisReadTask *task, int elements);
	size_t held;	 /* bytes of the reply that is not complete */
	size_t elements; /* of it */

	/* Places `first` to `end`, by number modulo room. */
	struct place *ring;
	size_t room;
	uint64_t first, end;
	bool feeding, closed;
};

/* hiredis allocates what an array's head announces. */
static void *create_array(const redisReadTask *task, int elements)
{
	struct thr_redis_pipe *pipe = task->privdata;

	if (elements < 0 || (size_t)elements > THR_REDIS_ELEMENTS_MAX - pipe->elements)
		return NULL;
	pipe->elements += (size_t)elements;
	return pipe->create_array(task, elements);
}

int thr_redis_pipe_new(thr_redis_answered *answered, void *context,
		       struct thr_redis_pipe **ret_pipe)
{
	struct thr_redis_pipe *pipe = calloc(1, sizeof(*pipe));

	if (!pipe)
		return -ENOMEM;
	pipe->reader = redisReaderCreate();
	if (!pipe->reader) {
		free(pipe);
		return -ENOMEM;
	}
	pipe->answered = answered;
	pipe->context = context;
	pipe->functions = *pipe->reader->fn;
	pipe->create_array = pipe->functions.createArray;
	pipe->functions.createArray = create_array;
	pipe->reader->fn = &pipe->functions;
	pipe->reader->privdata = pipe;
	*ret_pipe = pipe;
	return 0;
}

static void release(struct thr_redis_pipe *pipe)
{
	redisReaderFree(pipe->reader);
	free(pipe->ring);
	free(pipe);
}

void thr_redis_pipe_close(struct thr_redis_pipe *pipe)
{
	if (!pipe)
		return;
	pipe->closed = true;
	if (!pipe->feeding)
		release(pipe);
}

/* --- places --- */

static struct place *place_of(struct thr_redis_pipe *pipe, uint64_t number)
{
	return &pipe->ring[number & (pipe->room - 1)];
}

int thr_redis_pipe_reserve(struct thr_redis_pipe *pipe, size_t count)
{
	size_t used = (size_t)(pipe->end - pipe->first), room = FIRST_ROOM;
	struct place *ring;

	if (pipe->room - used >= count)
		return 0;
	while (room < used + count)
		room *= 2;
	ring = calloc(room, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	for (uint64_t number = pipe->first; number != pipe->end; number++)
		ring[number & (room - 1)] = *place_of(pipe, number);
	free(pipe->ring);
	pipe->ring = ring;
	pipe->room = room;
	return 0;
}

uint64_t thr_redis_pipe_expect(struct thr_redis_pipe *pipe, unsigned int kind, void *owner)
{
	*place_of(pipe, pipe->end) = (struct place){owner, kind};
	return pipe->end++;
}

void thr_redis_pipe_drop(struct thr_redis_pipe *pipe, uint64_t number)
{
	place_of(pipe, number)->owner = NULL;
}

/* --- replies --- */

/* What the reader waits with, the rest of a line or of a string, always begins with a line.
 * Without its end the reader would look for it from the start with every read. */
static bool is_endless_line(const redisReader *reader)
{
	size_t left = reader->len - reader->pos;

	return left > THR_REDIS_LINE_MAX &&
	       !memmem(reader->buf + reader->pos, THR_REDIS_LINE_MAX, "\r\n", 2);
}

static const char *fault_of(const struct thr_redis_pipe *pipe)
{
	if (pipe->reader->err == REDIS_ERR_PROTOCOL)
		return "what it answers is not the protocol of Redis";
	return pipe->reader->err == REDIS_ERR_OOM ? "an answer of it is too large to keep"
						  : "an answer of it cannot be read";
}

static int deliver(struct thr_redis_pipe *pipe, redisReply *reply, const char **ret_why)
{
	struct place place;

	if (pipe->first == pipe->end) {
		*ret_why = "it answers what was not asked";
		freeReplyObject(reply);
		return -EPROTO;
	}
	place = *place_of(pipe, pipe->first++);
	pipe->answered(pipe->context, place.kind, place.owner, reply);
	freeReplyObject(reply);
	return 0;
}

static int read_replies(struct thr_redis_pipe *pipe, const char **ret_why)
{
	void *reply;

	while (!pipe->closed) {
		reply = NULL;
		if (redisReaderGetReply(pipe->reader, &reply) != REDIS_OK) {
			*ret_why = fault_of(pipe);
			return -EPROTO;
		}
		if (!reply)
			break;
		pipe->held = pipe->elements = 0;
		if (deliver(pipe, reply, ret_why) < 0)
			return -EPROTO;
	}
	if (pipe->closed)
		return 0;
	if (pipe->held > THR_REDIS_REPLY_MAX || is_endless_line(pipe->reader)) {
		*ret_why = "an answer of it is too large to keep";
		return -EPROTO;
	}
	return 0;
}

int thr_redis_pipe_feed(struct thr_redis_pipe *pipe, const char *bytes, size_t length,
			const char **ret_why)
{
	int r = -EPROTO;

	pipe->held += length;
	pipe->feeding = true;
	if (redisReaderFeed(pipe->reader, bytes, length) == REDIS_OK)
		r = read_replies(pipe, ret_why);
	else
		*ret_why = "an answer of it cannot be read";
	pipe->feeding = false;
	if (pipe->closed)
		release(pipe);
	return r;
}
