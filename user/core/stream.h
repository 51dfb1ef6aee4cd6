/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A connected socket that does not block, watched edge-triggered, and what could not go
 * through it yet.
 *
 * What is read lies in its owner's scratch memory, and is used out of it; only what is not
 * complete yet is kept in `in`, and only what the peer does not take in `out`. So an idle
 * connection costs its structure alone. Whoever is told that the peer is lost closes; nothing
 * here does.
 */
#ifndef THR_STREAM_H
#define THR_STREAM_H

#include <sys/types.h>

#include "core/buffer.h"
#include "core/loop.h"

struct thr_stream {
	struct thr_io io;
	struct thr_buffer in;	 /* read, not used yet */
	struct thr_buffer out;	 /* to be written */
	uint64_t sent;		 /* bytes the kernel took */
	bool readable, writable; /* as far as we know */
	bool peer_closed;	 /* the peer will send no more than what is there */
	bool in_is_new;		 /* `in` has not been looked at since it grew */
	bool eof;		 /* all was read; a lost connection counts as that */
	bool moved;		 /* something went through since this was cleared */
};

/* Note what the loop says. */
void thr_stream_heed(struct thr_stream *stream, uint32_t events);

/* Write, or keep for later, all pieces. Returns 0, or a negative errno: the connection is
 * lost. */
int thr_stream_send(struct thr_stream *stream, const struct iovec *piece, size_t count);

/* Write what was kept. Returns 1 when that got anywhere or may at once, 0 when not, or a
 * negative errno: the connection is lost. */
int thr_stream_flush(struct thr_stream *stream);

/* Read at most `most` bytes into `at`. Returns the bytes, 0 when there are none for now or,
 * with stream->eof set, at the end. */
size_t thr_stream_read(struct thr_stream *stream, char *at, size_t most);

/* Read as above into `scratch`, and show all that is not used yet: the scratch memory when
 * nothing was kept, else `in`. Returns the bytes, 0 when there are none that are new, or
 * -ENOMEM. */
ssize_t thr_stream_gather(struct thr_stream *stream, char *scratch, size_t most, char **ret_at);

/* Keep what was shown but for its first `used` bytes. Returns 0 or -ENOMEM. */
int thr_stream_keep(struct thr_stream *stream, const char *at, size_t length, size_t used);

#endif
