/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Strict HTTP/1.1: message heads and what they say about the body (RFC 9110,
 * RFC 9112), from bytes to slices of those bytes. Nothing is copied, nothing is
 * allocated, nothing is read past the length given.
 *
 * What RFC 9112 lets a recipient repair is refused, because two recipients that
 * repair differently are how requests are smuggled. A head that these parsers
 * accept has exactly one meaning.
 *
 * Results of parsers: the bytes that the head took up, empty line included; 0
 * when more bytes are needed and nothing wrong was seen so far; or the negative
 * HTTP status that answers it (-400, -414, -417, -431, -501, -505, and -502 for a
 * response). A head is refused as soon as one line of it is complete and wrong, and
 * so, with the same status, is all that begins with it.
 */
#ifndef THR_HTTP_H
#define THR_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/slice.h"

#define THR_HTTP_FIELDS_MAX 128 /* the largest limit on their number */

/* Fields that the proxy acts on; every other one is THR_FIELD_OTHER. */
enum thr_http_field_id {
	THR_FIELD_OTHER,
	THR_FIELD_TWIN, /* one that CGI takes for a field below, such as X_Forwarded_For */
	THR_FIELD_HOST,
	THR_FIELD_CONTENT_LENGTH,
	THR_FIELD_TRANSFER_ENCODING,
	THR_FIELD_CONNECTION,
	THR_FIELD_KEEP_ALIVE,
	THR_FIELD_PROXY_CONNECTION,
	THR_FIELD_PROXY_AUTHENTICATE,
	THR_FIELD_PROXY_AUTHORIZATION,
	THR_FIELD_TE,
	THR_FIELD_TRAILER,
	THR_FIELD_UPGRADE,
	THR_FIELD_HTTP2_SETTINGS,
	THR_FIELD_EXPECT,
	THR_FIELD_VIA,
	THR_FIELD_FORWARDED,
	THR_FIELD_X_FORWARDED_FOR,
	THR_FIELD_X_FORWARDED_PROTO,
	THR_FIELD_X_FORWARDED_HOST,
	THR_FIELD_X_REQUEST_ID,
	THR_FIELD_RATELIMIT,
	THR_FIELD_RATELIMIT_POLICY,
	THR_FIELD_RETRY_AFTER,
	THR_FIELD_DATE,
	THR_FIELD_IDS
};

struct thr_http_field {
	struct thr_slice name;
	struct thr_slice value; /* without the white space around it */
	enum thr_http_field_id id;
	bool hop_by_hop; /* by itself (RFC 9110, 7.6.1), or because Connection names it */
};

/* Methods that the proxy treats differently; the rest are THR_METHOD_OTHER. */
enum thr_http_method {
	THR_METHOD_OTHER,
	THR_METHOD_GET,
	THR_METHOD_HEAD,
	THR_METHOD_POST,
	THR_METHOD_PUT,
	THR_METHOD_DELETE,
	THR_METHOD_OPTIONS,
	THR_METHOD_TRACE,
	THR_METHOD_PATCH,
	THR_METHOD_CONNECT,
};

/* RFC 9110, 9.2.2: GET, HEAD, PUT, DELETE, OPTIONS, TRACE. */
bool thr_http_is_idempotent(enum thr_http_method method);

/* How the end of a body is found (RFC 9112, 6.3). */
enum thr_http_body {
	THR_BODY_NONE,
	THR_BODY_LENGTH, /* `content_length` bytes, at least 1 */
	THR_BODY_CHUNKED,
	THR_BODY_CLOSE, /* a response only: until the connection closes */
};

struct thr_http_limits {
	size_t line_bytes;  /* of the request line, its CRLF included; beyond: 414, or 400 in the
			       method */
	size_t head_bytes;  /* of the whole head; beyond: 431 */
	size_t field_count; /* at most THR_HTTP_FIELDS_MAX; beyond: 431 */
};

struct thr_http_request {
	struct thr_slice method;
	struct thr_slice target;    /* as it was sent */
	struct thr_slice path;	    /* of the target, as it was sent, with the query: begins with
				     * '/', or '?' after an authority, or is empty after one */
	struct thr_slice authority; /* absolute-form's, else the Host field's; may be empty */
	enum thr_http_method method_id;
	uint8_t minor; /* of HTTP/1.x: 0 or 1 */
	bool absolute; /* absolute-form */
	bool keep_alive;
	bool expect_continue; /* of an HTTP/1.1 request with a body */
	bool upgrade; /* HTTP/1.1 with Connection: upgrade and an Upgrade field, without a body,
		       * and not to h2c */
	enum thr_http_body body;
	uint64_t content_length; /* as sent; 0 without the field */
	size_t field_count;
	struct thr_http_field field[THR_HTTP_FIELDS_MAX];
};

struct thr_http_response {
	struct thr_slice reason;
	uint16_t status; /* 100 to 599 */
	uint8_t minor;
	bool keep_alive;
	bool upgrade;	 /* Connection: upgrade and an Upgrade field */
	bool has_length; /* a Content-Length field, also where there is no body */
	enum thr_http_body body;
	uint64_t content_length;
	size_t field_count;
	struct thr_http_field field[THR_HTTP_FIELDS_MAX];
};

/*
 * Parse a request's head. `ret` is only meaningful after a positive result, but
 * method and target are set (else empty) as soon as they were read, also when
 * the request is refused, for the log.
 *
 * Accepts, before the request line, one empty line (RFC 9112, 2.2). Refuses: any
 * line end that is not CRLF; white space other than single spaces in the request
 * line; a method that is not a token; bytes outside printable ASCII in the target
 * and '#' in it; another version than HTTP/1.0 and HTTP/1.1 (505 when it is
 * "HTTP/" digit "." digit, else 400); a field name that is not a token or has
 * white space before its colon; obs-fold; control bytes in values (HTAB may
 * stand; obs-text may); no Host or two in HTTP/1.1, two in 1.0, a Host that is
 * not host [":" port] (host: letters, digits, '-', '.' and '_', or an IPv6 address
 * in brackets; neither may be empty); both Content-Length and Transfer-Encoding;
 * Content-Length that is repeated, empty, signed, a list, with a zero in front, or
 * beyond 2^63 - 1; more than 32 elements in Connection; a
 * Transfer-Encoding that is not exactly "chunked" once (501 when it is a list
 * of known codings that ends in chunked), or in HTTP/1.0; Expect other than
 * 100-continue (417); asterisk-form but for OPTIONS; authority-form but for
 * CONNECT; an absolute-form that is not http(s), has userinfo, or whose
 * authority is empty. CONNECT, and OPTIONS with "*", are 501: this is a gateway.
 */
int thr_http_parse_request(const char *at, size_t length, const struct thr_http_limits *limits,
			   struct thr_http_request *ret);

/* Whether `length` bytes of a head, of which `known` were parsed before and were not all of
 * it, may say more than those did: a line has ended, or a limit is passed. So a head that
 * comes in single bytes is not parsed for each of them. */
bool thr_http_says_more(const struct thr_http_limits *limits, const char *at, size_t length,
			size_t known);

/*
 * Parse a response's head to a request of `method`. As strict as for requests;
 * what is wrong is -502. Body: none for HEAD, 1xx, 204, 304; a 2xx to CONNECT
 * does not come up. Transfer-Encoding must be exactly "chunked", not in HTTP/1.0,
 * and not beside Content-Length, not in 1xx or 204. Bytes after the head of a
 * response without a body are the caller's to refuse.
 */
int thr_http_parse_response(const char *at, size_t length, enum thr_http_method method,
			    const struct thr_http_limits *limits, struct thr_http_response *ret);

/*
 * Parse a trailer section: field lines up to and with an empty line. Fields that
 * must not be in one (RFC 9110, 6.5.1: framing, routing, authentication, Host,
 * Connection and hop-by-hop ones) are marked hop_by_hop, so that they are left
 * out; so are those that the proxy acts on in a head, or that say how to read the
 * content. Results as for a request's head (-400, -431). `ret_fields` has room for
 * limits->field_count; the count is set when the result is positive.
 */
int thr_http_parse_trailers(const char *at, size_t length, const struct thr_http_limits *limits,
			    struct thr_http_field *ret_fields, size_t *ret_count);

/* The id of a field's name, in any case. */
enum thr_http_field_id thr_http_field_id(struct thr_slice name);

/* The next element of a comma-separated list that is not empty, without the white
 * space around it; `rest` becomes what follows. Returns false at its end. */
bool thr_http_list_next(struct thr_slice *rest, struct thr_slice *ret_element);

/* Whether a comma-separated list has the word, in any case. */
bool thr_http_list_has(struct thr_slice list, const char *word);

/* "Not Found" of 404, or "" for what is not in the registry. */
const char *thr_http_reason(unsigned int status);

#endif
