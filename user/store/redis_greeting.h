/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is said first on a connection, all at once: who we are, which database, the scripts,
 * and a script that does what takings do, which shows what a PING does not: a replica that is
 * read-only, memory that is full, a user who may not. A cluster may answer it with where its key
 * is: it serves then.
 *
 * And which errors say that a server cannot serve, whatever it is asked.
 */
#ifndef THR_REDIS_GREETING_H
#define THR_REDIS_GREETING_H

#include <stdbool.h>

struct redisReply;
struct thr_redis_link;
struct thr_redis_pipe;
struct thr_redis_shared;

#define THR_REDIS_TELL 320 /* bytes of a text for people, with its NUL */

/* What stands in a pipe. */
enum {
	THR_GREET_AUTH,
	THR_GREET_SELECT,
	THR_GREET_SCRIPT,
	THR_GREET_PROBE, /* the last */
	THR_GREET_CALL,
	THR_GREET_ASKING,
	THR_GREET_SLOTS,
};

/* Send it; `key` is of the script, NULL: one of the prefix. Returns 0, -ENOBUFS or -ENOMEM:
 * the connection is of no use then. */
int thr_redis_greet(const struct thr_redis_shared *shared, struct thr_redis_link *link,
		    struct thr_redis_pipe *pipe, const char *key);

bool thr_redis_greeting_is_fine(unsigned int kind, const struct redisReply *reply);
const char *thr_redis_greeting_name(unsigned int kind);

/* Why the server cannot serve, a static phrase; NULL when the reply does not say that it
 * cannot. */
const char *thr_redis_unfit(const struct redisReply *reply);

#endif
