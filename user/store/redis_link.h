/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A byte stream to a server: TCP to a name or an address, TCP with TLS, or a Unix socket.
 *
 *    LOOKING --> CONNECTING --> SECURING --> UP       any of them --> LOST
 *    (a name)    each address   (TLS)
 *                in turn
 *
 * What is sent in a turn of the loop leaves in one write at its end. Callbacks come from the
 * loop only, never out of the functions below, but for `found`; after thr_redis_link_close()
 * none does.
 */
#ifndef THR_REDIS_LINK_H
#define THR_REDIS_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "core/loop.h"
#include "core/resolve.h"

struct ssl_ctx_st;
struct thr_redis_link;

/* Bytes that may wait to be taken by the server. It is beyond any sense when they are so
 * many: who does not read does not answer either, and the breaker opens. */
#define THR_REDIS_UNSENT_MAX (4 << 20)

struct thr_redis_link_parts {
	struct thr_loop *loop;
	struct thr_resolver *resolver;
	const char *host;   /* a name or an address; or */
	const char *socket; /* a path */
	uint16_t port;
	unsigned int turn;	/* which of the host's addresses is tried first, by its number */
	struct ssl_ctx_st *tls; /* NULL: none */

	/* Its address is known, and connected to. Maybe before thr_redis_link_open() returns. */
	void (*found)(void *context);
	void (*opened)(void *context);
	void (*received)(void *context, const char *bytes, size_t length);
	/* It is lost: what is left is to close it. `why` is one line, valid in the call. */
	void (*lost)(void *context, const char *why);
	void *context;
};

/* Strings are copied where they are needed for longer. Returns 0 or -ENOMEM; all other
 * failures are told by `lost`. */
int thr_redis_link_open(const struct thr_redis_link_parts *parts, struct thr_redis_link **ret_link);

/* After `opened`. Copies. Returns 0, -ENOBUFS when too much waits already, -ENOMEM. */
int thr_redis_link_send(struct thr_redis_link *link, const void *bytes, size_t length);

/* At once, and its memory at the end of the turn. NULL-safe. */
void thr_redis_link_close(struct thr_redis_link *link);

#endif
