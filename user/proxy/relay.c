/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Bytes from one connection to the other: what a read gave is framed and written
 * at once, and what the other side does not take is kept, until which nothing
 * more is read. So a body of any size passes through one read's worth of memory.
 */
#include <errno.h>
#include <sys/socket.h>

#include "proxy/internal.h"

static struct thr_trailers trailers_of(const struct exchange *exchange,
				       const struct thr_http_limits *limits)
{
	return (struct thr_trailers){
		.limits = *limits,
		.room = exchange->session->proxy->trailers,
	};
}

/* --- to the target ----------------------------------------------------------------- */

/* The target takes no more: it may have answered already, which is looked at next;
 * if it has not, the end of the connection is. */
static void stop_sending(struct exchange *exchange)
{
	exchange->send_failed = true;
	exchange->upstream->readable = true;
	thr_buffer_clear(&exchange->pending);
}

/* Write the pieces, and keep what is not taken. Returns 0 or -ENOMEM. */
static int send_up(struct exchange *exchange, const struct iovec *piece, size_t count)
{
	ssize_t sent;

	if (!count)
		return 0;
	sent = upstream_write(exchange->upstream, piece, count);
	if (sent < 0 && sent != -EAGAIN) {
		stop_sending(exchange);
		return 0;
	}
	sent = sent < 0 ? 0 : sent;
	return thr_buffer_append_rest(&exchange->pending, piece, count, (size_t)sent);
}

bool relay_request(struct exchange *exchange)
{
	size_t length = thr_buffer_length(&exchange->request);
	struct iovec piece;
	bool pending = exchange->request_sent == length;
	ssize_t sent;

	if (exchange->send_failed)
		return false;
	if (pending)
		piece = (struct iovec){thr_buffer_bytes(&exchange->pending),
				       thr_buffer_length(&exchange->pending)};
	else
		piece = (struct iovec){thr_buffer_bytes(&exchange->request) +
					       exchange->request_sent,
				       length - exchange->request_sent};
	if (!piece.iov_len)
		return false;
	sent = upstream_write(exchange->upstream, &piece, 1);
	if (sent == -EAGAIN)
		return false;
	if (sent < 0)
		stop_sending(exchange);
	else if (pending)
		thr_buffer_consume(&exchange->pending, (size_t)sent);
	else
		exchange->request_sent += (size_t)sent;
	return true;
}

/* Frame body bytes of the client's. Returns the bytes used, or -EPROTO, -ENOMEM, or
 * -EFBIG beyond the limit. */
static ssize_t frame_up(struct exchange *exchange, char *at, size_t length)
{
	const struct thr_trailers trailers = trailers_of(exchange, &exchange->generation->limits);
	uint64_t most = exchange->generation->config->server.max_body_bytes;
	struct thr_framed framed;

	if (thr_body_frame(&exchange->body, at, length, &trailers, &framed) < 0)
		return -EPROTO;
	if (most && exchange->body.total > most)
		return -EFBIG;
	exchange->replayable = false;
	if (send_up(exchange, framed.piece, framed.count) < 0)
		return -ENOMEM;
	return (ssize_t)framed.consumed;
}

static void refuse_body(struct exchange *exchange, ssize_t error)
{
	exchange->keep_alive = false;
	if (error == -EPROTO)
		exchange_answer(exchange, 400, "The body's chunks are malformed.");
	else if (error == -EFBIG)
		exchange_answer(exchange, 413, "The body is larger than this server takes.");
	else
		session_abort(exchange->session);
}

bool relay_body_up(struct exchange *exchange)
{
	struct session *session = exchange->session;
	ssize_t length, used;
	char *at;

	if (!exchange_wants_body(exchange))
		return false;
	length = thr_stream_gather(&session->stream, session->proxy->in, SCRATCH, &at);
	if (length < 0)
		session_abort(session);
	else if (!length && session->stream.eof)
		session_close(session); /* the client gave up in the middle */
	if (length <= 0)
		return session->state == SESSION_CLOSED;
	used = frame_up(exchange, at, (size_t)length);
	if (used < 0)
		refuse_body(exchange, used);
	else if (thr_stream_keep(&session->stream, at, (size_t)length, (size_t)used) < 0)
		session_abort(session);
	return true;
}

/* --- to the client ----------------------------------------------------------------- */

int relay_body_down(struct exchange *exchange, struct thr_slice head, char *at, size_t length)
{
	const struct thr_trailers trailers = trailers_of(exchange, &reply_limits);
	struct upstream *upstream = exchange->upstream;
	struct iovec piece[1 + THR_FRAMED_PIECES] = {{(void *)(uintptr_t)head.at, head.length}};
	struct thr_framed framed = {0};
	size_t count = head.length ? 1 : 0;

	if (exchange->tunnel && length) {
		piece[count++] = (struct iovec){at, length};
	} else if (!exchange->answer.done && length) {
		if (thr_body_frame(&exchange->answer, at, length, &trailers, &framed) < 0)
			return -EPROTO;
		memcpy(piece + count, framed.piece, framed.count * sizeof(*piece));
		count += framed.count;
	}
	/* Bytes behind an answer are nobody's: the connection is not used again. */
	if (!exchange->tunnel && exchange->answer.done && framed.consumed < length)
		exchange->upstream_keep_alive = false;
	else if (!exchange->tunnel && framed.consumed < length &&
		 thr_buffer_append(&upstream->in, at + framed.consumed, length - framed.consumed) <
			 0)
		return -ENOMEM;
	return thr_stream_send(&exchange->session->stream, piece, count);
}

/* The target has closed. */
static int end_down(struct exchange *exchange)
{
	struct thr_framed framed;

	exchange->upstream_keep_alive = false;
	if (thr_body_end(&exchange->answer, &framed) < 0)
		return -EPROTO;
	return thr_stream_send(&exchange->session->stream, framed.piece, framed.count);
}

bool relay_answer(struct exchange *exchange)
{
	static const struct thr_slice no_head = {0};
	struct session *session = exchange->session;
	struct upstream *upstream = exchange->upstream;
	struct thr_buffer kept = upstream->in;
	ssize_t got = upstream_read(upstream);
	int r;

	if (got == -EAGAIN)
		return false;
	if (got < 0) {
		r = -EPROTO;
	} else if (got == 0) {
		r = end_down(exchange);
	} else if (!thr_buffer_length(&kept)) {
		r = relay_body_down(exchange, no_head, session->proxy->in, (size_t)got);
	} else {
		upstream->in = (struct thr_buffer){0};
		r = thr_buffer_append(&kept, session->proxy->in, (size_t)got);
		if (r == 0)
			r = relay_body_down(exchange, no_head, thr_buffer_bytes(&kept),
					    thr_buffer_length(&kept));
		thr_buffer_clear(&kept);
	}
	if (r < 0)
		session_abort(session);
	return true;
}

/* --- tunnels ----------------------------------------------------------------------- */

static bool tunnel_up(struct exchange *exchange)
{
	struct session *session = exchange->session;
	size_t got;

	if (thr_buffer_length(&exchange->pending) || session->stream.eof ||
	    !session->stream.readable)
		return false;
	got = thr_stream_read(&session->stream, session->proxy->in, SCRATCH);
	if (got && send_up(exchange, &(struct iovec){session->proxy->in, got}, 1) < 0)
		session_abort(session);
	return got || session->stream.eof;
}

static bool tunnel_down(struct exchange *exchange)
{
	struct session *session = exchange->session;
	struct upstream *upstream = exchange->upstream;
	ssize_t got;

	if (thr_buffer_length(&session->stream.out) || exchange->upstream_eof ||
	    !upstream->readable)
		return false;
	got = upstream_read(upstream);
	if (got == -EAGAIN)
		return false;
	if (got <= 0)
		exchange->upstream_eof = true;
	else if (thr_stream_send(&session->stream, &(struct iovec){session->proxy->in, (size_t)got},
				 1) < 0)
		session_abort(session);
	session->stream.moved = true;
	return true;
}

bool relay_tunnel(struct exchange *exchange)
{
	struct session *session = exchange->session;
	bool moved = relay_request(exchange);

	moved |= tunnel_up(exchange);
	if (!exchange->ended)
		moved |= tunnel_down(exchange);
	if (exchange->ended)
		return true;
	/* Each end is passed on once all before it was. */
	if (session->stream.eof && !exchange->shut_up && !thr_buffer_length(&exchange->pending)) {
		shutdown(exchange->upstream->io.fd, SHUT_WR);
		exchange->shut_up = true;
	}
	if (exchange->upstream_eof && !exchange->shut_down &&
	    !thr_buffer_length(&session->stream.out)) {
		shutdown(session->stream.io.fd, SHUT_WR);
		exchange->shut_down = true;
	}
	if (exchange->send_failed || (exchange->shut_up && exchange->shut_down)) {
		session_close(session);
		return true;
	}
	return moved;
}
