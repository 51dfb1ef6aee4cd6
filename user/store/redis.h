/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A client of one Redis, or of a Redis Cluster, for one worker: commands out, replies in,
 * all on the loop. Codec by libhiredis' reader and formatter, connections by ourselves,
 * TLS by OpenSSL.
 *
 *   redis_settings.c  copying and comparing settings
 *   redis_tls.c       TLS as a filter over bytes
 *   redis_link.c      a byte stream: TCP, TLS, Unix socket
 *   redis_pipe.c      which reply is for whom
 *   redis_greeting.c  the first words on a connection, and errors of a server that cannot serve
 *   redis_command.c   the bytes of a call
 *   redis_node.c      a server: connection, calls, deadlines, circuit breaker
 *   redis_slots.c     what a cluster says of itself
 *   redis_cluster.c   the nodes, and which has a slot
 *   redis.c           the client: NOSCRIPT, MOVED, ASK
 *
 * Commands of one turn of the loop go out in one write. Each has a deadline, and is never
 * sent again once it may have been executed.
 *
 *            failures, or a lost connection              the jittered probe is due
 *   CLOSED ---------------------------------> OPEN -------------------------> HALF-OPEN
 *      ^                                        ^    connect, AUTH, SELECT,      |  |
 *      |                                        '-- scripts, one is run: failed --'  |
 *      '------------------------------------------------ all answered --------------'
 *
 * While it is not closed, calls are refused at once: nobody waits. The script that is run
 * shows what a PING does not: a replica that is read-only, memory that is full, a user who
 * may not.
 */
#ifndef THR_REDIS_H
#define THR_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/link.h"
#include "core/loop.h"
#include "core/resolve.h"
#include "core/slice.h"

struct redisReply; /* of hiredis/hiredis.h */
struct thr_redis;

/* What a URL and the keys beside it say. Strings are NULL where nothing is said. */
struct thr_redis_settings {
	char *host;   /* a name or an address, without brackets; or */
	char *socket; /* the path of a Unix socket */
	uint16_t port;
	bool tls;
	char *user, *password;
	uint32_t database;
	char *key_prefix;
	uint64_t deadline_ms; /* of a call */
	uint64_t lease;	      /* tokens taken ahead; 0: none */
	uint32_t failures;    /* checks in a row without an answer that open the breaker */
	/* PEM text, not names of files: workers cannot read those. `ca` NULL: the system's. */
	char *ca, *certificate, *key;
};

/* Returns 0, or -ENOMEM with nothing set. */
int thr_redis_settings_copy(const struct thr_redis_settings *from,
			    struct thr_redis_settings *ret_settings);

/* Wipe and free the strings of a copy; fine on one that is all zeros. */
void thr_redis_settings_clear(struct thr_redis_settings *settings);

/* Whether both say the same; and whether both mean the same keys of the same database. */
bool thr_redis_settings_are_same(const struct thr_redis_settings *one,
				 const struct thr_redis_settings *other);
bool thr_redis_settings_are_same_place(const struct thr_redis_settings *one,
				       const struct thr_redis_settings *other);

/* Scripts, loaded on every connection; called by EVALSHA. */
struct thr_redis_script {
	const char *text;
	size_t length;
	char sha[41]; /* filled by the client */
};

struct thr_redis_events {
	/* The breaker of a node has opened or closed. */
	void (*changed)(void *context, bool bad, const char *text);
	void *context;
};

/* Counters that the client keeps; the caller's memory. */
struct thr_redis_counts {
	uint64_t *commands, *errors, *timeouts, *opened;
};

/* A call, embedded in what it belongs to. All zeros but `done` before its first use; it may be
 * used again once it was answered or forgotten. */
struct thr_redis_call {
	/*
	 * The reply (its owner frees nothing: it is valid in the call), or NULL with `why`
	 * set: the breaker opened, the deadline is over, the connection was lost, the
	 * cluster is changing. An error reply is a reply: type REDIS_REPLY_ERROR; but those
	 * that say that the server cannot serve (LOADING, READONLY, OOM, MASTERDOWN,
	 * CLUSTERDOWN, NOAUTH and the like) open the breaker, and then it is NULL.
	 */
	void (*done)(struct thr_redis_call *call, const struct redisReply *reply);
	uint32_t checks;  /* that wait for it: a late one is so many failures; 0 counts as 1 */
	const char *why;  /* static */
	uint64_t sent_ns; /* when it was handed over, by the loop's clock */

	/* the client's own */
	struct thr_link item;
	char *bytes; /* the command, until it is answered */
	size_t length;
	size_t tail; /* of the bytes, what follows the script's name in EVALSHA */
	const struct thr_redis_script *script;
	void *node;	/* NULL: it is not in flight */
	uint64_t place; /* in the queue of the connection */
	uint8_t moves;
	bool is_sent, is_asking;
};

/* Returns 0 or a negative errno with `error` set, as by thr_redis_check_tls().
 * Settings are copied; nothing is connected before the first call. `scripts` is an array
 * that outlives the client. */
int thr_redis_new(struct thr_loop *loop, struct thr_resolver *resolver,
		  const struct thr_redis_settings *settings, struct thr_redis_script *scripts,
		  size_t script_count, const struct thr_redis_events *events,
		  const struct thr_redis_counts *counts, struct thr_redis **ret_redis,
		  struct thr_error *error);

/* Calls that are in flight are not called back. Its memory goes at the end of the loop's
 * turn, so that a call that was just answered may free it. NULL-safe. */
void thr_redis_free(struct thr_redis *redis);

/* Whether thr_redis_new() would take the PEM texts of `settings`, for who reads them from files
 * on behalf of others. Returns 0, or -EINVAL with `error` beginning with the key of the
 * configuration that is at fault ("store.redis.ca_file: "), or -ENOMEM. */
int thr_redis_check_tls(const struct thr_redis_settings *settings, struct thr_error *error);

/* Whether a call for `key` would be taken now. */
bool thr_redis_is_available(const struct thr_redis *redis, struct thr_slice key);

/*
 * Call a script with one key or more of the same slot, of which the first routes it.
 * Returns 0: `done` will be called, in another turn at the earliest; or -ENOTCONN: the
 * breaker is not closed; or -ENOBUFS: what the server does not take is too much; or -ENOMEM.
 */
int thr_redis_eval(struct thr_redis *redis, struct thr_redis_call *call,
		   const struct thr_redis_script *script, const struct thr_slice *keys,
		   size_t key_count, const struct thr_slice *arguments, size_t argument_count);

/* `done` will not be called, and the call may go: its reply is dropped when it comes.
 * Nothing when it is not in flight. */
void thr_redis_forget(struct thr_redis *redis, struct thr_redis_call *call);

/* The slot of a key (CRC16 of its hash tag, by the cluster specification). */
uint16_t thr_redis_slot(struct thr_slice key);

/* How long an answer is waited for at most, ms: the loop's timers may be 16 ms late, and nobody is
 * to wait longer than the deadline. Of a deadline below 32 ms it is the half. */
uint64_t thr_redis_wait_ms(uint64_t deadline_ms);

/* The state of the worst node that has keys: 0 closed, 1 half-open, 2 open. */
unsigned int thr_redis_breaker(const struct thr_redis *redis);

/* Milliseconds until the next probe of a node that has keys and is open; 0: none is. */
uint64_t thr_redis_retry_ms(const struct thr_redis *redis);

#endif
