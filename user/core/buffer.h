/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Bytes that a connection has to keep: what the other side did not take yet, or
 * what is not complete yet. Most never have any: what is read goes through the
 * worker's scratch memory and out again, and a buffer holds no memory while it is
 * empty. So an idle connection costs its structure alone.
 */
#ifndef THR_BUFFER_H
#define THR_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct thr_buffer {
	char *at; /* NULL: empty */
	size_t start, end, room;
};

static inline size_t thr_buffer_length(const struct thr_buffer *buffer)
{
	return buffer->end - buffer->start;
}

static inline char *thr_buffer_bytes(const struct thr_buffer *buffer)
{
	return buffer->at + buffer->start;
}

/* Make room for `size` more bytes at thr_buffer_bytes() + thr_buffer_length().
 * Returns 0 or -ENOMEM with nothing changed. */
int thr_buffer_reserve(struct thr_buffer *buffer, size_t size);

int thr_buffer_append(struct thr_buffer *buffer, const void *bytes, size_t size);

/* Append what lies behind the first `skip` bytes of `count` pieces. */
int thr_buffer_append_rest(struct thr_buffer *buffer, const struct iovec *piece, size_t count,
			   size_t skip);

/* Drop the first `size` bytes; the memory goes with the last. */
void thr_buffer_consume(struct thr_buffer *buffer, size_t size);

void thr_buffer_clear(struct thr_buffer *buffer);

#endif
