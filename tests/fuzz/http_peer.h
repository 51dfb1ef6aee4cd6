/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A second reader of HTTP/1.1 for the fuzzers: llhttp, Node's parser, built
 * strict. Whatever user/http accepts, it must accept with the same meaning;
 * user/http may refuse more. Where the two are known to differ, the fuzzers say
 * so at the place.
 */
#ifndef THR_FUZZ_HTTP_PEER_H
#define THR_FUZZ_HTTP_PEER_H

#include <llhttp/llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http.h"
#include "fuzz/holds.h"

#define PEER_BODY_MAX (64 * 1024)

struct peer {
	llhttp_t parser;
	llhttp_settings_t settings;
	bool is_to_head; /* the response is one to HEAD */
	struct thr_slice url;
	struct thr_http_field field[THR_HTTP_FIELDS_MAX]; /* name and value alone */
	size_t field_count;
	unsigned int heads, messages;
	bool keep_alive;
	size_t body_bytes;
	char body[PEER_BODY_MAX];
};

static inline int peer_extend(struct thr_slice *slice, const char *at, size_t length)
{
	if (!slice->length)
		slice->at = at;
	HOLDS(slice->at + slice->length == at);
	slice->length += length;
	return 0;
}

static inline int peer_on_url(llhttp_t *parser, const char *at, size_t length)
{
	return peer_extend(&((struct peer *)parser->data)->url, at, length);
}

/* The field that is being read; of a trailer section, none. */
static inline struct thr_http_field *peer_field(llhttp_t *parser)
{
	struct peer *peer = parser->data;
	static struct thr_http_field ignored;

	if (!peer->heads) {
		HOLDS(peer->field_count < THR_HTTP_FIELDS_MAX);
		return &peer->field[peer->field_count];
	}
	memset(&ignored, 0, sizeof(ignored));
	return &ignored;
}

static inline int peer_on_name(llhttp_t *parser, const char *at, size_t length)
{
	return peer_extend(&peer_field(parser)->name, at, length);
}

static inline int peer_on_value(llhttp_t *parser, const char *at, size_t length)
{
	return peer_extend(&peer_field(parser)->value, at, length);
}

/* Known to differ: llhttp leaves the white space after a value in it. */
static inline int peer_on_value_complete(llhttp_t *parser)
{
	struct thr_slice *value = &peer_field(parser)->value;
	struct peer *peer = parser->data;

	while (value->length && strchr(" \t", value->at[value->length - 1]))
		value->length--;
	peer->field_count += !peer->heads;
	return 0;
}

static inline int peer_on_head(llhttp_t *parser)
{
	struct peer *peer = parser->data;

	peer->heads++;
	return peer->is_to_head;
}

static inline int peer_on_body(llhttp_t *parser, const char *at, size_t length)
{
	struct peer *peer = parser->data;

	HOLDS(peer->body_bytes + length <= PEER_BODY_MAX);
	memcpy(peer->body + peer->body_bytes, at, length);
	peer->body_bytes += length;
	return 0;
}

static inline int peer_on_message(llhttp_t *parser)
{
	struct peer *peer = parser->data;

	peer->messages++;
	peer->keep_alive = llhttp_should_keep_alive(parser);
	return 0;
}

static inline void peer_init(struct peer *peer, llhttp_type_t type)
{
	memset(peer, 0, offsetof(struct peer, body));
	llhttp_settings_init(&peer->settings);
	peer->settings.on_url = peer_on_url;
	peer->settings.on_header_field = peer_on_name;
	peer->settings.on_header_value = peer_on_value;
	peer->settings.on_header_value_complete = peer_on_value_complete;
	peer->settings.on_headers_complete = peer_on_head;
	peer->settings.on_body = peer_on_body;
	peer->settings.on_message_complete = peer_on_message;
	llhttp_init(&peer->parser, type, &peer->settings);
	peer->parser.data = peer;
}

/* Known to differ: in the fields that say how a message ends, llhttp knows no HTAB as
 * white space (RFC 9110, 5.6.3): it refuses or misreads what has one there. */
static inline bool peer_is_misled_by_tabs(const struct thr_http_field *field, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *at = field[i].name.at;

		if (field[i].id != THR_FIELD_CONNECTION &&
		    field[i].id != THR_FIELD_TRANSFER_ENCODING &&
		    field[i].id != THR_FIELD_CONTENT_LENGTH && field[i].id != THR_FIELD_UPGRADE)
			continue;
		for (; *at != '\r'; at++)
			if (*at == '\t')
				return true;
	}
	return false;
}

/* Have it read bytes that it must accept. */
static inline void peer_read(struct peer *peer, const char *bytes, size_t length)
{
	llhttp_errno_t code = llhttp_execute(&peer->parser, bytes, length);

	if (code == HPE_OK || code == HPE_PAUSED_UPGRADE)
		return;
	fprintf(stderr, "llhttp refuses: %s: %s\n", llhttp_errno_name(code),
		llhttp_get_error_reason(&peer->parser));
	abort();
}

/* Have it read a body that is framed like that, and then expect the message's end. */
static inline void peer_read_body(struct peer *peer, enum thr_http_body body, uint64_t length)
{
	static const char filler[4096];
	static const char chunks[] = "3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n";

	HOLDS(peer->heads == 1);
	HOLDS((body == THR_BODY_NONE) == (peer->messages == 1));
	if (body == THR_BODY_CHUNKED) {
		peer_read(peer, chunks, sizeof(chunks) - 1);
		HOLDS(peer->body_bytes == 3);
	} else if (body == THR_BODY_LENGTH && length <= sizeof(filler)) {
		peer_read(peer, filler, length - 1);
		HOLDS(!peer->messages);
		peer_read(peer, filler, 1);
		HOLDS(peer->body_bytes == length);
	} else if (body == THR_BODY_LENGTH) {
		peer_read(peer, filler, sizeof(filler));
		HOLDS(!peer->messages && peer->parser.content_length == length - sizeof(filler));
		return;
	} else if (body == THR_BODY_CLOSE) {
		peer_read(peer, filler, sizeof(filler));
		HOLDS(!peer->messages);
		HOLDS(llhttp_finish(&peer->parser) == HPE_OK);
	}
	HOLDS(peer->messages == 1);
}

static inline void peer_compare_fields(const struct peer *peer, const struct thr_http_field *field,
				       size_t count)
{
	HOLDS(peer->field_count == count);
	for (size_t i = 0; i < count; i++) {
		HOLDS(peer->field[i].name.at == field[i].name.at);
		HOLDS(peer->field[i].name.length == field[i].name.length);
		HOLDS(peer->field[i].value.length == field[i].value.length);
		HOLDS(!field[i].value.length || peer->field[i].value.at == field[i].value.at);
	}
}

/* --- what must hold of our own parsers --- */

/* The fields are the bytes from `at` to `end`, with nothing between them but a
 * colon, white space and CRLF, and CRLF after them. */
static inline void check_fields(const char *at, const char *end, const struct thr_http_field *field,
				size_t count)
{
	for (size_t i = 0; i < count; i++) {
		HOLDS(field[i].name.at == at && field[i].name.length);
		at += field[i].name.length;
		HOLDS(end - at > 3 && *at++ == ':');
		while (at < field[i].value.at)
			HOLDS(at < end && strchr(" \t", *at++));
		HOLDS(at == field[i].value.at && field[i].value.length <= (size_t)(end - at));
		at += field[i].value.length;
		while (*at != '\r')
			HOLDS(strchr(" \t", *at++));
		HOLDS(at[1] == '\n');
		at += 2;
		HOLDS(field[i].id == thr_http_field_id(field[i].name));
	}
	HOLDS(end - at == 2 && !memcmp(at, "\r\n", 2));
}

/* A result for `length` bytes beside that for `whole` ones of the same input: what
 * was decided with less is what is decided with more. */
static inline void check_prefix(int result, size_t length, int result_of_whole)
{
	if (result_of_whole > 0)
		HOLDS(result == (length >= (size_t)result_of_whole ? result_of_whole : 0));
	else
		HOLDS(result == 0 || result == result_of_whole);
}

#endif
