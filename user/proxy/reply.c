/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The head of a target's answer, on its way to the client; 1xx before it, and the switch
 * of protocols. Its body is relay.c's. */
#include <errno.h>

#include "proxy/internal.h"

/* Of a target's answer, whatever clients are held to. */
const struct thr_http_limits reply_limits = {
	.line_bytes = THR_HEADER_BYTES_MAX,
	.head_bytes = THR_HEADER_BYTES_MAX,
	.field_count = THR_HEADERS_MAX,
};

/* --- the response's head ----------------------------------------------------------- */

/* Whether a body without a length is coming. */
static bool is_open_ended(const struct thr_http_response *response)
{
	return response->body == THR_BODY_CHUNKED || response->body == THR_BODY_CLOSE;
}

static int write_head(struct exchange *exchange, const struct thr_http_response *response,
		      struct thr_slice *ret_head)
{
	struct thr_proxy *proxy = exchange->session->proxy;
	char fields[THR_LIMIT_FIELDS_MAX];
	struct thr_reply reply = {
		.client_minor = exchange->minor,
		.chunked = is_open_ended(response) && exchange->minor,
		.keep_alive = exchange->keep_alive && exchange->body.done && !proxy->draining &&
			      (!is_open_ended(response) || exchange->minor),
		.date = proxy_date(proxy),
	};

	if (exchange->limited && (response->status >= 200 || response->status == 101)) {
		reply.limits.at = fields;
		reply.limits.length =
			thr_http_limit_fields(exchange->policy, &exchange->standing, fields);
	}
	ret_head->at = proxy->head;
	ret_head->length = thr_head_response(proxy->head, sizeof(proxy->head), response, &reply);
	if (!ret_head->length)
		return -EMSGSIZE;
	exchange->reply_keep_alive = reply.keep_alive;
	return 0;
}

/* A final response, or a switch of protocols: `rest` follows its head. */
static void begin_answer(struct exchange *exchange, const struct thr_http_response *response,
			 char *rest, size_t length)
{
	struct session *session = exchange->session;
	struct thr_targets *targets = exchange->generation->targets;
	uint64_t now_ns = thr_loop_now_ns(session->proxy->parts.loop);
	struct thr_slice head;

	if (write_head(exchange, response, &head) < 0) {
		exchange_fail(exchange, 502, "The target's answer is too large.");
		return;
	}
	if (thr_target_succeeded(targets, exchange->target))
		thr_log(THR_LOG_INFO, "target %s of route %s answers again",
			exchange->upstream->endpoint->name, exchange->route->config->path);
	thr_body_begin(&exchange->answer, response->body, response->content_length,
		       is_open_ended(response) && exchange->minor);
	exchange->head_sent = true;
	exchange->status = response->status;
	exchange->upstream_keep_alive = response->keep_alive;
	exchange->upstream_ns = now_ns - exchange->upstream_begin_ns;
	if (now_ns >= session->note_ns)
		note_answered(exchange, response->status, now_ns);
	if (response->status == 101) {
		exchange->tunnel = true;
		upstream_wait(exchange->upstream, 0);
		if (thr_buffer_append(&exchange->pending, thr_buffer_bytes(&session->stream.in),
				      thr_buffer_length(&session->stream.in)) < 0) {
			session_abort(session);
			return;
		}
		thr_buffer_clear(&session->stream.in);
	}
	if (relay_body_down(exchange, head, rest, length) < 0)
		session_abort(session);
}

/* Pass a 1xx on. Returns 0 or a negative errno. */
static int pass_interim(struct exchange *exchange, const struct thr_http_response *response)
{
	struct thr_slice head;

	if (!exchange->minor)
		return 0; /* an HTTP/1.0 client knows none (RFC 9110, 15.2) */
	if (write_head(exchange, response, &head) < 0)
		return -EMSGSIZE;
	exchange->interim_sent = true;
	return thr_stream_send(&exchange->session->stream,
			       &(struct iovec){(void *)(uintptr_t)head.at, head.length}, 1);
}

/* Use what there is of a response's head. Returns the bytes used. */
static size_t use_head(struct exchange *exchange, char *at, size_t length)
{
	struct thr_http_response *response = &exchange->session->proxy->response;
	size_t used = 0;

	for (;;) {
		int head = thr_http_parse_response(at + used, length - used, exchange->method,
						   &reply_limits, response);
		bool interim = response->status < 200 && response->status != 101;

		if (head == 0)
			return used;
		if (head < 0 ||
		    (response->status == 101 && (!exchange->upgrade || !response->upgrade))) {
			exchange->replayable = false;
			exchange_fail(exchange, 502, "The target's answer is not valid HTTP/1.1.");
			return length;
		}
		used += (size_t)head;
		if (!interim) {
			begin_answer(exchange, response, at + used, length - used);
			return length;
		}
		if (pass_interim(exchange, response) < 0) {
			session_abort(exchange->session);
			return length;
		}
	}
}

bool reply_receive(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	struct session *session = exchange->session;
	char *at = session->proxy->in;
	ssize_t got;
	size_t used;

	got = upstream_read(upstream);
	if (got == -EAGAIN)
		return false;
	if (got <= 0) {
		exchange_fail(exchange, 502, "The target closed the connection without an answer.");
		return true;
	}
	exchange->answered = true;
	if (thr_buffer_length(&upstream->in)) {
		struct thr_buffer whole = upstream->in;

		/* Bytes of the head are shown together; what the answer leaves over, a
		 * part of its trailers, is put into a new `in`. */
		if (thr_buffer_append(&whole, at, (size_t)got) < 0) {
			session_abort(session);
			return true;
		}
		upstream->in = (struct thr_buffer){0};
		used = use_head(exchange, thr_buffer_bytes(&whole), thr_buffer_length(&whole));
		thr_buffer_consume(&whole, used);
		if (!upstream->closed && !upstream->in.at)
			upstream->in = whole;
		else
			thr_buffer_clear(&whole);
		return true;
	}
	used = use_head(exchange, at, (size_t)got);
	if (used < (size_t)got &&
	    thr_buffer_append(&upstream->in, at + used, (size_t)got - used) < 0)
		session_abort(session);
	return true;
}
