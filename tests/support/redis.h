/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For tests of the Redis client: a client on a loop of its own that remembers what it is
 * told, calls that remember their answer, and a redis-server that the test starts and that
 * ends with it.
 */
#ifndef THR_TEST_REDIS_H
#define THR_TEST_REDIS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/redis.h"

/* Scripts of every client here: the argument back; the key's value, set to the argument. */
enum { SCRIPT_ECHO, SCRIPT_SET, SCRIPTS };

struct redis_client {
	struct thr_loop *loop;
	struct thr_resolver *resolver;
	struct thr_redis *redis;
	struct thr_redis_script scripts[SCRIPTS];
	uint64_t commands, errors, timeouts, opened;
	unsigned int bad, good;		/* how often it was told */
	char told[512];			/* last */
	void (*between)(void *context); /* called between turns of the loop */
	void *context;
};

struct redis_call {
	struct thr_redis_call call;
	bool is_over;
	bool is_answered; /* there was a reply */
	int type;
	char text[256]; /* of the reply, or why there is none */
	uint64_t over_ns;
};

void client_begin(struct redis_client *client, const struct thr_redis_settings *settings);
void client_end(struct redis_client *client);

/* Returns what thr_redis_eval() does. */
int client_call(struct redis_client *client, struct redis_call *call, unsigned int script,
		const char *key, const char *argument);

/* Turn the loop until it is so; fails the test after 20 s. */
void client_until(struct redis_client *client, const bool *flag);
void client_until_breaker(struct redis_client *client, unsigned int breaker);
void client_turn(struct redis_client *client);

/* Call, and wait for the answer, which must be this text. */
void client_expect(struct redis_client *client, const char *key, const char *argument);

struct redis_server {
	pid_t pid;
	char folder[64];
	char socket[96];
	int out; /* what it prints */
};

/* On a Unix socket in a folder of its own, with the options after it, NULL last. */
void server_begin(struct redis_server *server, const char *const *options);
void server_end(struct redis_server *server);

/* One command, by its own connection; the reply must be no error. */
void server_do(const struct redis_server *server, const char *command);

/* The same; the reply must be this text. */
void server_expect(const struct redis_server *server, const char *command, const char *text);

/* The same; the reply's text, cut at the size. */
void server_text(const struct redis_server *server, const char *command, char *text, size_t size);

/* A port of 127.0.0.1 that nobody listens on. */
uint16_t free_port(void);

#endif
