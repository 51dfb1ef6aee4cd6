/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A client's connection: from accept to close.
 *
 *               ASKING                  only with a shared store: nothing is read
 *                 |                     meanwhile, and the head is decided on after
 *   PREFACE --> HEAD <--> BUSY          PREFACE only with server.proxy_protocol
 *                 \        /
 *                  > LINGER --> CLOSED  (each may go to CLOSED at once)
 *
 * A request that is refused while more of it may come is answered, our side is
 * shut down, and what still comes is dropped for a while: closing at once would
 * make the kernel send a reset, which can overtake the answer (RFC 9112, 9.6).
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/internal.h"
#include "proxy/proxy_protocol.h"
#include "proxy/request.h"

#define PUMP_ROUNDS 32 /* before other connections get their turn */
#define LINGER_MS 2000
#define TUNNEL_IDLE_MS 3600000

/* --- output ------------------------------------------------------------------------ */

static bool flush(struct session *session)
{
	int r = thr_stream_flush(&session->stream);

	if (r < 0)
		session_close(session);
	return r;
}

void session_answer(struct session *session, const struct thr_answer *answer)
{
	struct thr_proxy *proxy = session->proxy;
	size_t length = thr_head_answer(proxy->head, sizeof(proxy->head), answer);

	if (thr_stream_send(&session->stream, &(struct iovec){proxy->head, length}, 1) < 0)
		session_close(session);
}

/* --- input ------------------------------------------------------------------------- */

/* What there is that is new. No more is read than a head may have: what follows one waits in
 * the kernel. At the end the session closes. Returns the bytes, 0 when there are none. */
static size_t gather(struct session *session, char **ret_at)
{
	struct thr_proxy *proxy = session->proxy;
	ssize_t length = thr_stream_gather(&session->stream, proxy->in,
					   proxy->generation->limits.head_bytes, ret_at);

	if (length < 0 || (!length && session->stream.eof))
		session_close(session);
	return length > 0 ? (size_t)length : 0;
}

/* Keep what gather() showed but for the first `used` bytes. */
static void keep(struct session *session, const char *at, size_t length, size_t used)
{
	if (session->state == SESSION_LINGER)
		thr_buffer_clear(&session->stream.in);
	else if (session->state != SESSION_CLOSED &&
		 thr_stream_keep(&session->stream, at, length, used) < 0)
		session_close(session);
}

static bool read_preface(struct session *session)
{
	struct thr_address source;
	bool known = false;
	char *at;
	size_t length = gather(session, &at);
	int used;

	if (!length)
		return session->state == SESSION_CLOSED;
	used = thr_proxy_header_parse(at, length, &source, &known);
	if (used < 0) {
		session->proxy->parts.counts->malformed++;
		session_close(session);
		return true;
	}
	if (used > 0) {
		if (known)
			session->peer = source;
		session->state = SESSION_HEAD;
	}
	keep(session, at, length, (size_t)used);
	return true;
}

static bool read_head(struct session *session)
{
	const struct thr_http_limits *limits = &session->proxy->generation->limits;
	size_t known = session->stream.in_is_new ? 0 : thr_buffer_length(&session->stream.in);
	size_t length, used = 0;
	char *at;

	length = gather(session, &at);
	if (!length)
		return session->state == SESSION_CLOSED;
	if (session->discard) {
		used = session->discard < length ? (size_t)session->discard : length;
		session->discard -= used;
	}
	if (used < length && thr_http_says_more(limits, at + used, length - used, known))
		used += request_take(session, at + used, length - used);
	keep(session, at, length, used);
	return true;
}

/* Drop what a client whose answer is written still sends. */
static bool read_on(struct session *session)
{
	size_t got;

	if (!session->stream.readable || thr_buffer_length(&session->stream.out))
		return false;
	got = thr_stream_read(&session->stream, session->proxy->in, SCRATCH);
	if (!got && session->stream.eof)
		session_close(session);
	return got || session->state == SESSION_CLOSED;
}

/* --- the steps --------------------------------------------------------------------- */

/* All that is to be said was written. */
static void end_output(struct session *session)
{
	session->close_after = false;
	if (!session->linger || session->stream.eof)
		session_close(session);
	else
		shutdown(session->stream.io.fd, SHUT_WR);
}

static bool step(struct session *session)
{
	bool moved = flush(session);

	switch ((enum session_state)session->state) {
	case SESSION_PREFACE:
		return read_preface(session) || moved;
	case SESSION_HEAD:
		/* The next request waits until the answer to the last one is written. */
		if (thr_buffer_length(&session->stream.out) || !read_head(session))
			return moved;
		if (session->state == SESSION_BUSY)
			exchange_step(session->exchange);
		return true;
	case SESSION_ASKING:
		return moved;
	case SESSION_BUSY:
		return exchange_step(session->exchange) || moved;
	case SESSION_LINGER:
		if (session->close_after && !thr_buffer_length(&session->stream.out))
			end_output(session);
		return (session->state == SESSION_LINGER && read_on(session)) || moved;
	case SESSION_CLOSED:
		break;
	}
	return false;
}

static enum session_wait wait_of(const struct session *session)
{
	if (session->state == SESSION_CLOSED)
		return WAIT_NOTHING;
	if (thr_buffer_length(&session->stream.out))
		return WAIT_SEND;
	if (session->state == SESSION_LINGER)
		return WAIT_LINGER;
	if (session->state == SESSION_ASKING)
		return WAIT_NOTHING; /* of the client; the store keeps its own time */
	if (session->state == SESSION_BUSY && session->exchange->tunnel)
		return WAIT_TUNNEL;
	if (session->state == SESSION_BUSY && exchange_wants_name(session->exchange))
		return WAIT_NAME;
	if (session->state == SESSION_BUSY)
		return exchange_wants_body(session->exchange) ? WAIT_BODY : WAIT_NOTHING;
	if (!session->used || session->discard || thr_buffer_length(&session->stream.in))
		return WAIT_HEAD;
	return WAIT_IDLE;
}

static uint64_t wait_ms(const struct session *session, enum session_wait wait)
{
	const struct thr_config *config = session->proxy->generation->config;
	const struct thr_server_config *server = &config->server;

	switch (wait) {
	case WAIT_IDLE:
		return server->idle_timeout_ms;
	case WAIT_HEAD:
		return server->header_timeout_ms;
	case WAIT_BODY:
	case WAIT_SEND:
		return server->body_timeout_ms;
	case WAIT_NAME:
		return config->upstream.connect_timeout_ms;
	case WAIT_LINGER:
		return LINGER_MS;
	case WAIT_TUNNEL:
		return TUNNEL_IDLE_MS;
	case WAIT_NOTHING:
		break;
	}
	return 0;
}

/* Arm the timer for what the client is to do next. A head and a farewell have one
 * deadline; elsewhere each byte begins it anew. */
static void settle(struct session *session)
{
	struct thr_proxy *proxy = session->proxy;
	enum session_wait wait = wait_of(session);
	bool each_byte = wait == WAIT_BODY || wait == WAIT_SEND || wait == WAIT_TUNNEL;

	if (wait == WAIT_IDLE && proxy->draining) {
		session_close(session);
		return;
	}
	if (wait != session->wait)
		session->renewed = true;
	/* Where nothing is waited for, the timer may fire and says nothing: to move it back
	 * later costs less than to take it off now. */
	if (wait != WAIT_NOTHING && (session->renewed || (each_byte && session->stream.moved)))
		thr_loop_arm(proxy->parts.loop, &session->timer, wait_ms(session, wait));
	session->wait = (uint8_t)wait;
	session->renewed = false;
}

void session_pump(struct session *session)
{
	int rounds = PUMP_ROUNDS;

	session->stream.moved = false;
	while (rounds && step(session))
		rounds--;
	if (session->state == SESSION_CLOSED)
		return;
	if (session->state == SESSION_BUSY)
		exchange_settle(session->exchange);
	if (!rounds)
		thr_loop_defer(session->proxy->parts.loop, &session->again);
	settle(session);
}

void session_next(struct session *session, bool keep_alive)
{
	session->exchange = NULL;
	session->used = true;
	session->renewed = true;
	if (session->state == SESSION_CLOSED)
		return;
	if (keep_alive && !session->proxy->draining) {
		session->state = SESSION_HEAD;
		session->stream.in_is_new = thr_buffer_length(&session->stream.in) > 0;
		return;
	}
	session->state = SESSION_LINGER;
	session->close_after = true;
	if (thr_buffer_length(&session->stream.in) || session->stream.readable || session->discard)
		session->linger = true;
	thr_buffer_clear(&session->stream.in);
}

/* --- events ------------------------------------------------------------------------ */

static void on_ready(struct thr_io *io, uint32_t events)
{
	struct session *session = THR_CONTAINER(io, struct session, stream.io);

	if (session->state == SESSION_CLOSED)
		return;
	if (events & EPOLLERR) {
		session_close(session); /* reset: nobody is there to be answered */
		return;
	}
	thr_stream_heed(&session->stream, events);
	session_pump(session);
}

static void on_again(struct thr_deferred *deferred)
{
	struct session *session = THR_CONTAINER(deferred, struct session, again);

	if (session->state != SESSION_CLOSED)
		session_pump(session);
}

static void on_timer(struct thr_timer *timer)
{
	struct session *session = THR_CONTAINER(timer, struct session, timer);
	enum session_wait wait = session->wait;

	session->renewed = true;
	switch (wait) {
	case WAIT_HEAD:
		if (session->state == SESSION_PREFACE || !thr_buffer_length(&session->stream.in))
			session_close(session);
		else
			request_timed_out(session);
		break;
	case WAIT_BODY:
		exchange_client_timed_out(session->exchange);
		break;
	case WAIT_NAME:
		/* The name may have been found, or not, in this very turn. */
		if (session->exchange && exchange_wants_name(session->exchange))
			exchange_timed_out(session->exchange);
		break;
	case WAIT_SEND:
		session_abort(session);
		break;
	case WAIT_IDLE:
	case WAIT_LINGER:
	case WAIT_TUNNEL:
		session_close(session);
		break;
	case WAIT_NOTHING:
		break;
	}
	if (session->state != SESSION_CLOSED)
		session_pump(session);
}

/* A connection that waits for a request closes, once what has arrived by now is
 * answered; a new one that has sent nothing too. */
void session_drain(struct session *session)
{
	session_pump(session);
	if (session->state == SESSION_HEAD && !thr_buffer_length(&session->stream.in) &&
	    !thr_buffer_length(&session->stream.out))
		session_close(session);
}

static void release(struct thr_deferred *deferred)
{
	struct session *session = THR_CONTAINER(deferred, struct session, deferred);

	/* It may still be queued to go on; then it is freed a turn later. */
	if (session->again.queued) {
		thr_loop_defer(session->proxy->parts.loop, &session->deferred);
		return;
	}
	thr_buffer_clear(&session->stream.in);
	thr_buffer_clear(&session->stream.out);
	free(session);
}

void session_close(struct session *session)
{
	struct thr_proxy *proxy = session->proxy;

	if (session->state == SESSION_CLOSED)
		return;
	session->state = SESSION_CLOSED;
	if (session->exchange)
		exchange_finish(session->exchange);
	if (session->asking)
		request_abandon(session);
	thr_loop_forget(proxy->parts.loop, &session->stream.io);
	thr_loop_disarm(proxy->parts.loop, &session->timer);
	close(session->stream.io.fd);
	session->stream.io.fd = -1;
	thr_acceptor_remove(&proxy->acceptor, &session->item);
	proxy->parts.counts->open_connections = proxy->acceptor.count;
	thr_loop_defer(proxy->parts.loop, &session->deferred);
}

void session_abort(struct session *session)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	if (session->state == SESSION_CLOSED)
		return;
	setsockopt(session->stream.io.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	session_close(session);
}

void session_new(struct thr_proxy *proxy, int fd, const struct thr_address *peer)
{
	const struct thr_server_config *server = &proxy->generation->config->server;
	struct session *session = calloc(1, sizeof(*session));

	if (!session) {
		close(fd);
		return;
	}
	session->proxy = proxy;
	session->stream.io = (struct thr_io){.fd = fd, .ready = on_ready};
	session->timer.fire = on_timer;
	session->again.run = on_again;
	session->deferred.run = release;
	session->peer = *peer;
	session->direct = !server->proxy_protocol;
	session->state = server->proxy_protocol ? SESSION_PREFACE : SESSION_HEAD;
	session->wait = WAIT_HEAD;
	if (thr_loop_watch(proxy->parts.loop, &session->stream.io,
			   EPOLLIN | EPOLLOUT | EPOLLRDHUP) < 0) {
		close(fd);
		free(session);
		return;
	}
	thr_acceptor_add(&proxy->acceptor, &session->item);
	proxy->parts.counts->open_connections = proxy->acceptor.count;
	thr_loop_arm(proxy->parts.loop, &session->timer, server->header_timeout_ms);
}
