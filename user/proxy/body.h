/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A message body on its way from one connection to the other, in either
 * direction: bytes as they were read become the pieces that are to be written,
 * under the framing of the other side. Chunks are decoded and written anew, one
 * for each read, so that no byte of foreign framing is passed on.
 */
#ifndef THR_BODY_H
#define THR_BODY_H

#include <sys/uio.h>

#include "http/chunks.h"
#include "http/http.h"

struct thr_body {
	enum thr_http_body kind; /* as it comes in */
	bool chunked_out;
	bool in_trailers;
	bool done;
	uint64_t left;	/* of THR_BODY_LENGTH */
	uint64_t total; /* data bytes so far */
	struct thr_http_chunks chunks;
};

#define THR_FRAMED_PIECES 5

/* What thr_body_frame() made of its input; the pieces point into the input, to
 * constants and into this structure. */
struct thr_framed {
	size_t consumed; /* the rest is to be given again, with more behind it, or is
			  * not part of the body when it is done */
	size_t count;
	struct iovec piece[THR_FRAMED_PIECES];
	char line[THR_CHUNK_LINE_MAX];
};

/* Where trailers are written, and what they may be. */
struct thr_trailers {
	struct thr_http_limits limits;
	char *room; /* of limits.head_bytes and 1,024 more */
};

void thr_body_begin(struct thr_body *body, enum thr_http_body kind, uint64_t length,
		    bool chunked_out);

/* Frame `length` bytes at `at`, which are overwritten. Sets body->done with the
 * last byte. Returns 0, or -EPROTO when the body's own framing is malformed. */
int thr_body_frame(struct thr_body *body, char *at, size_t length,
		   const struct thr_trailers *trailers, struct thr_framed *ret);

/* The connection that the body came from ended. Returns 0 and the last pieces when
 * that ends a THR_BODY_CLOSE, else -EPROTO: it was cut short. */
int thr_body_end(struct thr_body *body, struct thr_framed *ret);

#endif
