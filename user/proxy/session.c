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
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/socket.h"
#include "proxy/internal.h"
#include "proxy/proxy_protocol.h"
#include "proxy/request.h"

#define PUMP_ROUNDS 32	 /* before other connections get their turn */
#define SMALL_BYTES 2048 /* in all, of pieces that are sent as one */
#define LINGER_MS 2000
#define TUNNEL_IDLE_MS 3600000

/* --- output ------------------------------------------------------------------------ */

/* A few small pieces cost less to copy together than to pass on one by one. */
static ssize_t send_pieces(int fd, const struct iovec *piece, size_t count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)piece, .msg_iovlen = count};
	char whole[SMALL_BYTES];
	size_t length = 0;

	for (size_t i = 0; i < count; i++) {
		if (piece[i].iov_len > sizeof(whole) - length)
			return sendmsg(fd, &message, MSG_NOSIGNAL);
		memcpy(whole + length, piece[i].iov_base, piece[i].iov_len);
		length += piece[i].iov_len;
	}
	return thr_send(fd, whole, length);
}

int session_send(struct session *session, const struct iovec *piece, size_t count)
{
	ssize_t sent = 0;

	if (!count)
		return 0;
	if (session->writable && !thr_buffer_length(&session->out)) {
		sent = send_pieces(session->io.fd, piece, count);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		session->writable = sent >= 0 || errno == EINTR;
		sent = sent < 0 ? 0 : sent;
		session->sent += (uint64_t)sent;
		session->moved = true;
	}
	return thr_buffer_append_rest(&session->out, piece, count, (size_t)sent);
}

static bool flush(struct session *session)
{
	size_t length = thr_buffer_length(&session->out);
	ssize_t sent;

	if (!length || !session->writable)
		return false;
	sent = send(session->io.fd, thr_buffer_bytes(&session->out), length, MSG_NOSIGNAL);
	if (sent < 0 && errno == EINTR)
		return true;
	if (sent < 0 && errno == EAGAIN) {
		session->writable = false;
		return false;
	}
	if (sent < 0) {
		session_close(session);
		return true;
	}
	session->sent += (uint64_t)sent;
	session->moved = true;
	thr_buffer_consume(&session->out, (size_t)sent);
	return true;
}

void session_answer(struct session *session, const struct thr_answer *answer)
{
	struct thr_proxy *proxy = session->proxy;
	size_t length = thr_head_answer(proxy->head, sizeof(proxy->head), answer);

	if (session_send(session, &(struct iovec){proxy->head, length}, 1) < 0)
		session_close(session);
}

/* --- input ------------------------------------------------------------------------- */

size_t session_read(struct session *session, size_t most)
{
	ssize_t got = thr_recv(session->io.fd, session->proxy->in, most);

	if (got < 0 && errno == EINTR)
		return 0;
	if (got < 0 && errno == EAGAIN) {
		session->readable = false;
		return 0;
	}
	if (got <= 0) {
		session->readable = false;
		session->eof = true;
		return 0;
	}
	/* A short read has emptied the socket, but for an end that follows it. */
	if ((size_t)got < most && !session->peer_closed)
		session->readable = false;
	session->moved = true;
	return (size_t)got;
}

/* Read what came and show all that is not used yet: the scratch memory when nothing
 * was kept, else `in`. No more is read than a head may have: what follows one waits in
 * the kernel. Returns the bytes; 0: none, or none that are new. */
static size_t gather(struct session *session, char **ret_at)
{
	size_t got;

	if (session->in_is_new) {
		session->in_is_new = false;
		*ret_at = thr_buffer_bytes(&session->in);
		return thr_buffer_length(&session->in);
	}
	if (!session->readable)
		return 0;
	got = session_read(session, session->proxy->generation->limits.head_bytes);
	*ret_at = session->proxy->in;
	if (!got || !thr_buffer_length(&session->in))
		return got;
	if (thr_buffer_append(&session->in, session->proxy->in, got) < 0) {
		session_close(session);
		return 0;
	}
	*ret_at = thr_buffer_bytes(&session->in);
	return thr_buffer_length(&session->in);
}

/* Whether `length` bytes of a head, of which `known` were looked at before, may say
 * more than those did: a line has ended, or a limit is passed. So a head that comes in
 * single bytes is not parsed for each of them. */
static bool says_more(const struct session *session, const char *at, size_t length, size_t known)
{
	const struct thr_http_limits *limits = &session->proxy->generation->limits;

	return memchr(at + known, '\n', length - known) ||
	       (known <= limits->line_bytes && length > limits->line_bytes) ||
	       length > limits->head_bytes;
}

/* Keep what gather() showed but for the first `used` bytes. */
static void keep(struct session *session, const char *at, size_t length, size_t used)
{
	if (session->state == SESSION_LINGER)
		thr_buffer_clear(&session->in);
	if (session->state == SESSION_LINGER || session->state == SESSION_CLOSED)
		return;
	if (at != session->proxy->in)
		thr_buffer_consume(&session->in, used);
	else if (thr_buffer_append(&session->in, at + used, length - used) < 0)
		session_close(session);
	session->in_is_new = used && thr_buffer_length(&session->in);
}

static bool read_preface(struct session *session)
{
	struct thr_address source;
	bool known = false;
	char *at;
	size_t length = gather(session, &at);
	int used;

	if (!length && session->eof)
		session_close(session);
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
	size_t known = session->in_is_new ? 0 : thr_buffer_length(&session->in);
	size_t length, used = 0;
	char *at;

	length = gather(session, &at);
	if (!length && session->eof)
		session_close(session);
	if (!length)
		return session->state == SESSION_CLOSED;
	if (session->discard) {
		used = session->discard < length ? (size_t)session->discard : length;
		session->discard -= used;
	}
	if (used < length && says_more(session, at + used, length - used, known))
		used += request_take(session, at + used, length - used);
	keep(session, at, length, used);
	return true;
}

/* Drop what a client whose answer is written still sends. */
static bool read_on(struct session *session)
{
	size_t got;

	if (!session->readable || thr_buffer_length(&session->out))
		return false;
	got = session_read(session, SCRATCH);
	if (!got && session->eof)
		session_close(session);
	return got || session->state == SESSION_CLOSED;
}

/* --- the steps --------------------------------------------------------------------- */

/* All that is to be said was written. */
static void end_output(struct session *session)
{
	session->close_after = false;
	if (!session->linger || session->eof)
		session_close(session);
	else
		shutdown(session->io.fd, SHUT_WR);
}

static bool step(struct session *session)
{
	bool moved = flush(session);

	switch ((enum session_state)session->state) {
	case SESSION_PREFACE:
		return read_preface(session) || moved;
	case SESSION_HEAD:
		/* The next request waits until the answer to the last one is written. */
		if (thr_buffer_length(&session->out) || !read_head(session))
			return moved;
		if (session->state == SESSION_BUSY)
			exchange_step(session->exchange);
		return true;
	case SESSION_ASKING:
		return moved;
	case SESSION_BUSY:
		return exchange_step(session->exchange) || moved;
	case SESSION_LINGER:
		if (session->close_after && !thr_buffer_length(&session->out))
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
	if (thr_buffer_length(&session->out))
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
	if (!session->used || session->discard || thr_buffer_length(&session->in))
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
	if (wait != WAIT_NOTHING && (session->renewed || (each_byte && session->moved)))
		thr_loop_arm(proxy->parts.loop, &session->timer, wait_ms(session, wait));
	session->wait = (uint8_t)wait;
	session->renewed = false;
}

void session_pump(struct session *session)
{
	int rounds = PUMP_ROUNDS;

	session->moved = false;
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
		session->in_is_new = thr_buffer_length(&session->in) > 0;
		return;
	}
	session->state = SESSION_LINGER;
	session->close_after = true;
	if (thr_buffer_length(&session->in) || session->readable || session->discard)
		session->linger = true;
	thr_buffer_clear(&session->in);
}

/* --- events ------------------------------------------------------------------------ */

static void on_ready(struct thr_io *io, uint32_t events)
{
	struct session *session = THR_CONTAINER(io, struct session, io);

	if (session->state == SESSION_CLOSED)
		return;
	if (events & EPOLLERR) {
		session_close(session); /* reset: nobody is there to be answered */
		return;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP))
		session->peer_closed = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		session->readable = true;
	if (events & EPOLLOUT)
		session->writable = true;
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
		if (session->state == SESSION_PREFACE || !thr_buffer_length(&session->in))
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
	if (session->state == SESSION_HEAD && !thr_buffer_length(&session->in) &&
	    !thr_buffer_length(&session->out))
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
	thr_buffer_clear(&session->in);
	thr_buffer_clear(&session->out);
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
	thr_loop_forget(proxy->parts.loop, &session->io);
	thr_loop_disarm(proxy->parts.loop, &session->timer);
	close(session->io.fd);
	session->io.fd = -1;
	thr_acceptor_remove(&proxy->acceptor, &session->item);
	proxy->parts.counts->open_connections = proxy->acceptor.count;
	thr_loop_defer(proxy->parts.loop, &session->deferred);
}

void session_abort(struct session *session)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	if (session->state == SESSION_CLOSED)
		return;
	setsockopt(session->io.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
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
	session->io = (struct thr_io){.fd = fd, .ready = on_ready};
	session->timer.fire = on_timer;
	session->again.run = on_again;
	session->deferred.run = release;
	session->peer = *peer;
	session->direct = !server->proxy_protocol;
	session->state = server->proxy_protocol ? SESSION_PREFACE : SESSION_HEAD;
	session->wait = WAIT_HEAD;
	if (thr_loop_watch(proxy->parts.loop, &session->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP) < 0) {
		close(fd);
		free(session);
		return;
	}
	thr_acceptor_add(&proxy->acceptor, &session->item);
	proxy->parts.counts->open_connections = proxy->acceptor.count;
	thr_loop_arm(proxy->parts.loop, &session->timer, server->header_timeout_ms);
}
