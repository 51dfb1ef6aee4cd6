/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Framing and reframing; see body.h. */
#include "proxy/body.h"

#include <errno.h>

#define CRLF "\r\n"
#define LAST_CHUNK "0\r\n"

static void add(struct thr_framed *framed, const void *bytes, size_t size)
{
	/* writev() takes what it only reads as if it wrote to it. */
	framed->piece[framed->count++] = (struct iovec){(void *)(uintptr_t)bytes, size};
}

/* `size` bytes of data, as they are or as a chunk. */
static void add_data(const struct thr_body *body, struct thr_framed *framed, char *at, size_t size)
{
	if (!size)
		return;
	if (body->chunked_out)
		add(framed, framed->line, thr_http_chunk_line(size, framed->line));
	add(framed, at, size);
	if (body->chunked_out)
		add(framed, CRLF, 2);
}

void thr_body_begin(struct thr_body *body, enum thr_http_body kind, uint64_t length,
		    bool chunked_out)
{
	*body = (struct thr_body){
		.kind = kind,
		.left = length,
		.chunked_out = chunked_out,
		.done = kind == THR_BODY_NONE,
	};
}

static char *put(char *at, struct thr_slice bytes)
{
	memcpy(at, bytes.at, bytes.length);
	return at + bytes.length;
}

/* Write the last chunk and the trailers that may go on; returns the length. */
static size_t write_trailers(char *room, const struct thr_http_field *fields, size_t count)
{
	char *end = put(room, THR_SLICE(LAST_CHUNK));

	for (size_t i = 0; i < count; i++) {
		if (fields[i].hop_by_hop)
			continue;
		end = put(end, fields[i].name);
		end = put(end, THR_SLICE(": "));
		end = put(end, fields[i].value);
		end = put(end, THR_SLICE(CRLF));
	}
	return (size_t)(put(end, THR_SLICE(CRLF)) - room);
}

/* The trailer section, of which `length` bytes are at `at`. */
static int frame_trailers(struct thr_body *body, const char *at, size_t length,
			  const struct thr_trailers *trailers, struct thr_framed *framed)
{
	struct thr_http_field fields[THR_HTTP_FIELDS_MAX];
	size_t count = 0;
	int used = thr_http_parse_trailers(at, length, &trailers->limits, fields, &count);

	if (used < 0)
		return -EPROTO;
	if (used == 0)
		return 0;
	framed->consumed += (size_t)used;
	body->done = true;
	if (body->chunked_out)
		add(framed, trailers->room, write_trailers(trailers->room, fields, count));
	return 0;
}

static int frame_chunks(struct thr_body *body, char *at, size_t length,
			const struct thr_trailers *trailers, struct thr_framed *framed)
{
	struct thr_http_decoded decoded = {0};
	int r;

	if (body->in_trailers)
		return frame_trailers(body, at, length, trailers, framed);
	r = thr_http_chunks_decode(&body->chunks, at, length, &decoded);
	if (r < 0)
		return -EPROTO;
	body->total += decoded.produced;
	framed->consumed = decoded.consumed;
	add_data(body, framed, at, decoded.produced);
	if (r == 0)
		return 0;
	body->in_trailers = true;
	return frame_trailers(body, at + decoded.consumed, length - decoded.consumed, trailers,
			      framed);
}

int thr_body_frame(struct thr_body *body, char *at, size_t length,
		   const struct thr_trailers *trailers, struct thr_framed *ret)
{
	ret->consumed = ret->count = 0;
	switch (body->kind) {
	case THR_BODY_NONE:
		return 0;
	case THR_BODY_LENGTH:
		if (length > body->left)
			length = (size_t)body->left;
		body->left -= length;
		body->done = !body->left;
		break;
	case THR_BODY_CHUNKED:
		return frame_chunks(body, at, length, trailers, ret);
	case THR_BODY_CLOSE:
		break;
	}
	body->total += length;
	ret->consumed = length;
	add_data(body, ret, at, length);
	return 0;
}

int thr_body_end(struct thr_body *body, struct thr_framed *ret)
{
	ret->consumed = ret->count = 0;
	if (body->kind != THR_BODY_CLOSE)
		return -EPROTO;
	body->done = true;
	if (body->chunked_out)
		add(ret, LAST_CHUNK CRLF, 5);
	return 0;
}
