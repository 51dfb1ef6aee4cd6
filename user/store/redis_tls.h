/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS 1.2 and 1.3 as a filter over bytes, by OpenSSL with memory on both sides: what the
 * peer sent goes in, what it is to get comes out, and who owns the socket moves both. So
 * there is one way of reading and writing a socket, with or without TLS, and none in which
 * a read waits for a write.
 *
 *    socket -- feed --> [ SSL ] -- read --> plain bytes
 *    socket <- drain -- [ SSL ] <- write -- plain bytes
 *
 * The peer's certificate must be for the host that was asked for, name or address.
 */
#ifndef THR_REDIS_TLS_H
#define THR_REDIS_TLS_H

#include <stddef.h>
#include <sys/types.h>

#include "core/buffer.h"
#include "core/error.h"

struct ssl_ctx_st; /* SSL_CTX of OpenSSL */
struct thr_redis_settings;
struct thr_redis_tls;

#define THR_REDIS_WHY 160 /* bytes of a reason, with its NUL */

/* From settings->ca, certificate and key. Returns 0, or -EINVAL or -ENOMEM with `error`
 * set. To be freed by SSL_CTX_free(). */
int thr_redis_tls_context(const struct thr_redis_settings *settings,
			  struct ssl_ctx_st **ret_context, struct thr_error *error);

/* The client's side of a connection to `host`. Returns 0 or -ENOMEM. */
int thr_redis_tls_new(struct ssl_ctx_st *context, const char *host, struct thr_redis_tls **ret_tls);
void thr_redis_tls_free(struct thr_redis_tls *tls); /* NULL-safe */

/* What has come from the peer. Returns 0 or -ENOMEM. */
int thr_redis_tls_feed(struct thr_redis_tls *tls, const void *bytes, size_t length);

/* Begin, or go on with, the handshake: 1 when it is done, 0 when the peer has to say more,
 * -EPROTO with `why` set. */
int thr_redis_tls_shake(struct thr_redis_tls *tls, char why[static THR_REDIS_WHY]);

/* Bytes in plain: their number, 0 when the peer has to say more, -EPROTO with `why` set. */
ssize_t thr_redis_tls_read(struct thr_redis_tls *tls, void *bytes, size_t size,
			   char why[static THR_REDIS_WHY]);

/* All of them, after the handshake. Returns 0, or -EPROTO with `why` set. */
int thr_redis_tls_write(struct thr_redis_tls *tls, const void *bytes, size_t length,
			char why[static THR_REDIS_WHY]);

/* Append what the peer is to get. Returns 0 or -ENOMEM. */
int thr_redis_tls_drain(struct thr_redis_tls *tls, struct thr_buffer *out);

#endif
