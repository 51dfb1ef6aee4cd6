/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the parsers of this directory share: classes of bytes, lines, and the
 * field section of a message. Not for use outside of it.
 *
 *   request.c  response.c      first line, what the message says as a whole
 *          \    /    \
 *          head.c     target.c field section; request-target and host
 *            |
 *          fields.c            one field line, names, lists
 *            |
 *          lines.c             bytes and lines
 */
#ifndef THR_HTTP_PARSE_H
#define THR_HTTP_PARSE_H

#include "http/http.h"

/* Where a byte may stand. */
#define THR_BYTE_TOKEN 1  /* tchar: methods and field names (RFC 9110, 5.6.2) */
#define THR_BYTE_VALUE 2  /* field values and reason phrases: HTAB, SP, VCHAR, obs-text */
#define THR_BYTE_TARGET 4 /* VCHAR but '#' */
#define THR_BYTE_HOST 8	  /* host names: letters, digits, '-', '.', '_' */

extern const uint8_t thr_http_bytes[256];

/* The first byte of `at` to `end` that is not of the class; `end` when all are. */
static inline const char *thr_http_skip(const char *at, const char *end, uint8_t byte_class)
{
	while (at < end && thr_http_bytes[(unsigned char)*at] & byte_class)
		at++;
	return at;
}

#define THR_EACH_BYTE (UINT64_MAX / 255) /* 1 in each byte of a word */

/* Whether one of the 8 bytes at `at` is a control character: below 0x20, or 0x7f. Borrows may
 * add bytes to those found, but none to none. */
static inline bool thr_http_has_control(const char *at)
{
	uint64_t word, low, deletes;

	memcpy(&word, at, sizeof(word));
	low = (word - THR_EACH_BYTE * 0x20) & ~word;
	word ^= THR_EACH_BYTE * 0x7f;
	deletes = (word - THR_EACH_BYTE) & ~word;
	return (low | deletes) & THR_EACH_BYTE * 0x80;
}

/* thr_http_skip() of THR_BYTE_VALUE, 8 bytes at a time as far as none of them is a control
 * character, of which HTAB alone is a value's. */
static inline const char *thr_http_skip_value(const char *at, const char *end)
{
	while (end - at >= 8 && !thr_http_has_control(at))
		at += 8;
	return thr_http_skip(at, end, THR_BYTE_VALUE);
}

static inline bool thr_http_is_all(struct thr_slice slice, uint8_t byte_class)
{
	const char *end = slice.at + slice.length;

	return thr_http_skip(slice.at, end, byte_class) == end;
}

static inline bool thr_http_is_token(struct thr_slice slice)
{
	return slice.length && thr_http_is_all(slice, THR_BYTE_TOKEN);
}

/* Input that is yet to be read. */
struct thr_http_cursor {
	const char *at;
	const char *end;
};

/* Read up to and with the next CRLF. Returns 1 with the line, without its CRLF; 0
 * when it is not complete; -400 for a LF alone, or a CR alone in a line that is
 * not complete. A CR alone in one that is, is in no class: who reads it refuses. */
int thr_http_next_line(struct thr_http_cursor *cursor, struct thr_slice *ret_line);

/* Read a field line. Returns 0 or -400. */
int thr_http_parse_field(struct thr_slice line, struct thr_http_field *ret_field);

enum thr_http_section { THR_SECTION_REQUEST, THR_SECTION_RESPONSE, THR_SECTION_TRAILERS };

/* A field section, and what its lines say together. Zeros but for the first
 * four members, which the caller sets, before it is read. */
struct thr_http_head {
	enum thr_http_section section;
	uint8_t minor; /* of HTTP/1.x */
	size_t field_max;
	struct thr_http_field *field;
	size_t field_count;
	bool has_host, has_length;
	bool is_chunked;
	bool expects_continue;
	bool has_upgrade, is_upgrade_to_h2c;		      /* the Upgrade field */
	bool option_close, option_keep_alive, option_upgrade; /* of Connection */
	bool names_fields;				      /* Connection does */
	unsigned int options;				      /* elements of it */
	uint64_t content_length;
	struct thr_slice host;
};

/* Read field lines up to and with the empty line, refusing each that is wrong by
 * itself or beside those before it. Returns 1 when done, 0 when more is needed, or
 * a negative status. */
int thr_http_read_fields(struct thr_http_cursor *cursor, struct thr_http_head *head);

/* Whether the connection stays, by version and Connection (RFC 9112, 9.3). */
bool thr_http_keeps_alive(const struct thr_http_head *head);

/* Whether Connection and Upgrade ask for another protocol. */
bool thr_http_upgrades(const struct thr_http_head *head);

/* Read request->target of request->method_id into path, authority and absolute.
 * Returns 0 or a negative status. */
int thr_http_parse_target(struct thr_http_request *request);

/* Whether a value, or a part of a target, is host [":" port] of which two readers
 * cannot think differently: a name is of THR_BYTE_HOST, an IPv6 address in brackets
 * is one, a port has 1 to 5 digits and is at most 65535. Not in this:
 * percent-encoding and sub-delims, which are never in a name that resolves, and an
 * empty port. */
bool thr_http_is_authority(struct thr_slice text);

#endif
