/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The heads that the proxy writes: a client's request as the target gets it, a
 * target's response as the client gets it, and the proxy's own answers. Pure
 * functions from parsed heads to bytes. Each returns the length, or 0 when `size`
 * is too small, and then the bytes at `out` are without meaning.
 */
#ifndef THR_HEADS_H
#define THR_HEADS_H

#include "core/address.h"
#include "http/http.h"
#include "http/limits.h"

#define THR_REQUEST_ID_MAX 128

/* What the proxy knows of a request beside its head. */
struct thr_origin {
	const struct thr_address *peer; /* the connection's, or of its PROXY header */
	bool peer_is_trusted;
	struct thr_slice request_id;
};

/*
 * METHOD target HTTP/1.1, Host first, then the client's fields in their order
 * without hop-by-hop ones, without what is written anew, and then ours:
 *
 *   Host              as sent; absolute-form's authority in its place
 *   Connection        "upgrade" with Upgrade as sent when request->upgrade; else left out
 *   TE                left out
 *   Content-Length or Transfer-Encoding: chunked   by request->body; Content-Length: 0 as sent
 *   X-Forwarded-For   the peer; appended to what a trusted peer sent
 *   X-Forwarded-Proto http; a trusted peer's as sent
 *   X-Forwarded-Host  the Host as sent; a trusted peer's as sent
 *   Forwarded         for=, host=, proto=http (RFC 7239); appended for a trusted peer, to
 *                     what it sent or else to what its X-Forwarded-For says
 *   Via               1.1 xdp-throttle (1.0 for such a client); appended for a trusted peer
 *   X-Request-Id      origin->request_id
 *
 * The lines that a trusted peer sent of X-Forwarded-For, Forwarded and Via are
 * joined in order into one, with ours last. A Connection field that names what is
 * written anew changes nothing. Host is written even when it is empty;
 * X-Forwarded-Host and host= then are not. Forwarded quotes a host that is not a
 * token, and an IPv6 address in its brackets.
 *
 * Expect is left out of an HTTP/1.0 client's request.
 *
 * An absolute-form's path is written in origin-form ("/" for an empty one; OPTIONS
 * gets "*", RFC 9112, 3.2.4).
 */
size_t thr_head_request(char *out, size_t size, const struct thr_http_request *request,
			const struct thr_origin *origin);

/* The X-Request-Id of a request when it is fit to be passed on: 1 to
 * THR_REQUEST_ID_MAX bytes of letters, digits and "-_.:/+=@", given once; else an
 * empty slice: one is to be made. */
struct thr_slice thr_head_request_id(const struct thr_http_request *request);

/* How the client's side of a response is sent. */
struct thr_reply {
	uint8_t client_minor;	 /* of the request */
	bool keep_alive;	 /* the client's connection stays */
	bool chunked;		 /* the body goes out chunked */
	struct thr_slice limits; /* field lines of limits.h; may be empty */
	const char *date;	 /* IMF-fixdate, not NULL; used when the response has none */
};

/*
 * HTTP/1.1 status and reason as sent, then the target's fields in their order
 * without hop-by-hop ones, without RateLimit fields when reply->limits has some,
 * with Content-Length as sent where the body has it (or would have, for HEAD and
 * 304), then Transfer-Encoding: chunked, Connection (close; keep-alive for an
 * HTTP/1.0 client that keeps it; upgrade with Upgrade for a 101), Via (appended:
 * "1.1 xdp-throttle", 1.0 for such a response), Date and limits where due. A 1xx
 * other than 101 carries none of ours. 1xx and 204 carry no Content-Length.
 */
size_t thr_head_response(char *out, size_t size, const struct thr_http_response *response,
			 const struct thr_reply *reply);

/* An answer of the proxy itself, head and body: application/problem+json, not to
 * be stored. */
struct thr_answer {
	unsigned int status;
	const char *detail;	     /* one sentence */
	struct thr_slice limits;     /* may be empty */
	struct thr_slice request_id; /* may be empty: a field of the answer */
	const char *date;	     /* IMF-fixdate, not NULL */
	bool keep_alive;
	bool head_only;	      /* to HEAD: no body, but its Content-Length */
	uint8_t client_minor; /* of HTTP/1.x */
};

#define THR_ANSWER_MAX (THR_LIMIT_FIELDS_MAX + THR_PROBLEM_MAX + 512)
size_t thr_head_answer(char *out, size_t size, const struct thr_answer *answer);

#endif
