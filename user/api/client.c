/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A client's connection: from accept to close; see internal.h for its states.
 *
 * What is read lies in the worker's scratch memory, and a request that came as a whole is
 * answered out of it: one recv(), one send(), nothing allocated, no change of what epoll
 * watches. Only what is not complete yet is kept with the connection.
 *
 * A request that is refused while more of it may come is answered, our side is shut down, and
 * what still comes is dropped for a while: closing at once would make the kernel send a reset,
 * which can overtake the answer (RFC 9112, 9.6).
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/internal.h"

#define PUMP_ROUNDS 32 /* before other connections get their turn */
#define LINGER_MS 2000
/* The store answers by its own deadlines; this one is for a store that does not. */
#define STORE_MS 15000

/* --- output -------------------------------------------------------------------------- */

/* An answer that is large is counted until the last of it was taken: see body_grow(). */
static void count_output(struct client *client)
{
	size_t length = thr_buffer_length(&client->stream.out);

	if (!client->out_is_large && length > SMALL_BODY) {
		client->api->large++;
		client->out_is_large = true;
	} else if (client->out_is_large && !length) {
		client->api->large--;
		client->out_is_large = false;
	}
}

void client_send(struct client *client, struct thr_slice head, struct thr_slice body)
{
	struct iovec piece[2] = {{(void *)(uintptr_t)head.at, head.length},
				 {(void *)(uintptr_t)body.at, body.length}};

	if (thr_stream_send(&client->stream, piece, body.length ? 2 : 1) < 0)
		client_close(client);
	else
		count_output(client);
}

static bool flush(struct client *client)
{
	int r = thr_stream_flush(&client->stream);

	if (r < 0)
		client_close(client);
	else if (r > 0)
		count_output(client);
	return r;
}

/* --- input --------------------------------------------------------------------------- */

/* What there is that is new. At the end the connection closes. Returns the bytes, 0 when there
 * are none. */
static size_t gather(struct client *client, char **ret_at)
{
	ssize_t length = thr_stream_gather(&client->stream, client->api->in, SCRATCH, ret_at);

	if (length < 0 || (!length && client->stream.eof))
		client_close(client);
	return length > 0 ? (size_t)length : 0;
}

/* Keep what gather() showed but for the first `used` bytes. */
static void keep(struct client *client, const char *at, size_t length, size_t used)
{
	if (client->state == CLIENT_LINGER)
		thr_buffer_clear(&client->stream.in);
	else if (client->state != CLIENT_CLOSED &&
		 thr_stream_keep(&client->stream, at, length, used) < 0)
		client_close(client);
}

static size_t drop_discarded(struct client *client, size_t length)
{
	size_t used = client->discard < length ? (size_t)client->discard : length;

	client->discard -= used;
	return used;
}

/* Use what there is of a request. Returns the bytes used. */
static size_t take(struct client *client, char *at, size_t length)
{
	struct thr_api *api = client->api;
	int head = thr_http_parse_request(at, length, &api->settings.limits, &api->request);
	size_t used;

	if (head == 0)
		return 0;
	client->renewed = true;
	if (head < 0) {
		answer_malformed(client, (unsigned int)-head);
		return length;
	}
	used = (size_t)head;
	call_begin(client, &api->request);
	if (client->state == CLIENT_BODY)
		return used + body_take(client, at + used, length - used);
	return used + drop_discarded(client, length - used);
}

static bool read_request(struct client *client)
{
	const struct thr_http_limits *limits = &client->api->settings.limits;
	bool in_body = client->state == CLIENT_BODY;
	size_t known = client->stream.in_is_new ? 0 : thr_buffer_length(&client->stream.in);
	size_t length, used = 0;
	char *at;

	length = gather(client, &at);
	if (!length)
		return client->state == CLIENT_CLOSED;
	if (in_body)
		used = body_take(client, at, length);
	else if (client->discard)
		used = drop_discarded(client, length);
	if (!in_body && used < length &&
	    thr_http_says_more(limits, at + used, length - used, known))
		used += take(client, at + used, length - used);
	keep(client, at, length, used);
	return true;
}

/* Drop what a client whose answer is written still sends. */
static bool read_on(struct client *client)
{
	size_t got;

	if (!client->stream.readable || thr_buffer_length(&client->stream.out))
		return false;
	got = thr_stream_read(&client->stream, client->api->in, SCRATCH);
	if (!got && client->stream.eof)
		client_close(client);
	return got || client->state == CLIENT_CLOSED;
}

/* --- the steps ----------------------------------------------------------------------- */

/* All that is to be said was written. */
static void end_output(struct client *client)
{
	client->close_after = false;
	if (!client->linger || client->stream.eof)
		client_close(client);
	else
		shutdown(client->stream.io.fd, SHUT_WR);
}

static bool step(struct client *client)
{
	bool moved = flush(client);

	switch ((enum client_state)client->state) {
	case CLIENT_HEAD:
		/* The next request waits until the answer to the last one is written. */
		return (!thr_buffer_length(&client->stream.out) && read_request(client)) || moved;
	case CLIENT_BODY:
		return read_request(client) || moved;
	case CLIENT_LINGER:
		if (client->close_after && !thr_buffer_length(&client->stream.out))
			end_output(client);
		return (client->state == CLIENT_LINGER && read_on(client)) || moved;
	case CLIENT_BUSY:
		return moved;
	case CLIENT_CLOSED:
		break;
	}
	return false;
}

static enum client_wait wait_of(const struct client *client)
{
	if (thr_buffer_length(&client->stream.out))
		return WAIT_SEND;
	if (client->state == CLIENT_LINGER)
		return WAIT_LINGER;
	if (client->state == CLIENT_BUSY)
		return WAIT_STORE;
	if (client->state == CLIENT_BODY)
		return WAIT_BODY;
	if (!client->used || client->discard || thr_buffer_length(&client->stream.in))
		return WAIT_HEAD;
	return WAIT_IDLE;
}

static uint64_t wait_ms(const struct client *client, enum client_wait wait)
{
	const struct settings *settings = &client->api->settings;

	switch (wait) {
	case WAIT_IDLE:
		return settings->idle_timeout_ms;
	case WAIT_HEAD:
		return settings->header_timeout_ms;
	case WAIT_BODY:
	case WAIT_SEND:
		return settings->body_timeout_ms;
	case WAIT_STORE:
		return STORE_MS;
	case WAIT_LINGER:
		break;
	}
	return LINGER_MS;
}

/* Arm the timer for what comes next. A head, the store and a farewell have one deadline;
 * elsewhere each byte begins it anew. */
static void settle(struct client *client)
{
	enum client_wait wait = wait_of(client);
	bool each_byte = wait == WAIT_BODY || wait == WAIT_SEND;

	if (wait == WAIT_IDLE && client->api->draining) {
		client_close(client);
		return;
	}
	if (wait != client->wait)
		client->renewed = true;
	if (client->renewed || (each_byte && client->stream.moved))
		thr_loop_arm(client->api->parts.loop, &client->timer, wait_ms(client, wait));
	client->wait = (uint8_t)wait;
	client->renewed = false;
}

void client_pump(struct client *client)
{
	int rounds = PUMP_ROUNDS;

	client->stream.moved = false;
	while (rounds && step(client))
		rounds--;
	if (client->state == CLIENT_CLOSED)
		return;
	if (!rounds)
		thr_loop_defer(client->api->parts.loop, &client->again);
	settle(client);
}

void client_next(struct client *client, bool keep_alive)
{
	call_forget(client);
	client->used = true;
	client->renewed = true;
	if (client->state == CLIENT_CLOSED)
		return;
	/* Called back by the store: the pump is not running. */
	if (client->state == CLIENT_BUSY)
		thr_loop_defer(client->api->parts.loop, &client->again);
	if (keep_alive) {
		client->state = CLIENT_HEAD;
		client->stream.in_is_new = thr_buffer_length(&client->stream.in) > 0;
		return;
	}
	client->state = CLIENT_LINGER;
	client->close_after = true;
	if (thr_buffer_length(&client->stream.in) || client->stream.readable || client->discard)
		client->linger = true;
}

/* --- events -------------------------------------------------------------------------- */

static void on_ready(struct thr_io *io, uint32_t events)
{
	struct client *client = THR_CONTAINER(io, struct client, stream.io);

	if (client->state == CLIENT_CLOSED)
		return;
	/* Reset, or both ways shut while it waits for an answer: nobody is there for it. */
	if (events & EPOLLERR || (events & EPOLLHUP && client->state == CLIENT_BUSY)) {
		client_close(client);
		return;
	}
	thr_stream_heed(&client->stream, events);
	client_pump(client);
}

static void on_again(struct thr_deferred *deferred)
{
	struct client *client = THR_CONTAINER(deferred, struct client, again);

	if (client->state != CLIENT_CLOSED)
		client_pump(client);
}

/* What is said of a request that the store has not answered. */
static const char *unanswered(const struct call *call)
{
	if (call->kind == THR_API_CHECK)
		return "The store did not answer in time; whether tokens were taken is not known.";
	if (call->method == THR_METHOD_GET || call->method == THR_METHOD_HEAD)
		return "The store did not answer in time: try again.";
	return "The store did not answer in time; whether a change was made is not known: read the "
	       "config, and try again.";
}

static void on_timer(struct thr_timer *timer)
{
	struct client *client = THR_CONTAINER(timer, struct client, timer);
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	client->renewed = true;
	switch ((enum client_wait)client->wait) {
	case WAIT_HEAD:
	case WAIT_BODY:
		if (client->state == CLIENT_HEAD && !thr_buffer_length(&client->stream.in))
			client_close(client);
		else
			answer_malformed(client, 408);
		break;
	case WAIT_STORE:
		/* It may have been answered in this very turn. */
		if (client->state == CLIENT_BUSY)
			answer_problem(client, PROBLEM_STORE, unanswered(&client->call), NULL);
		break;
	case WAIT_SEND:
		/* So that the client sees a broken connection, not the end of an answer. */
		setsockopt(client->stream.io.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		client_close(client);
		break;
	case WAIT_IDLE:
	case WAIT_LINGER:
		client_close(client);
		break;
	}
	if (client->state != CLIENT_CLOSED)
		client_pump(client);
}

/* A connection that waits for a request closes, once what has arrived by now is answered; a
 * new one that has sent nothing too. */
void client_drain(struct client *client)
{
	client_pump(client);
	if (client->state == CLIENT_HEAD && !thr_buffer_length(&client->stream.in) &&
	    !thr_buffer_length(&client->stream.out))
		client_close(client);
}

static void release(struct thr_deferred *deferred)
{
	struct client *client = THR_CONTAINER(deferred, struct client, deferred);

	/* It may still be queued to go on; then it is freed a turn later. */
	if (client->again.queued) {
		thr_loop_defer(client->api->parts.loop, &client->deferred);
		return;
	}
	thr_buffer_clear(&client->stream.in);
	thr_buffer_clear(&client->body);
	thr_buffer_clear(&client->stream.out);
	free(client);
}

void client_close(struct client *client)
{
	struct thr_api *api = client->api;

	if (client->state == CLIENT_CLOSED)
		return;
	client->state = CLIENT_CLOSED;
	call_forget(client);
	thr_buffer_clear(&client->stream.out);
	count_output(client);
	thr_loop_forget(api->parts.loop, &client->stream.io);
	thr_loop_disarm(api->parts.loop, &client->timer);
	close(client->stream.io.fd);
	client->stream.io.fd = -1;
	thr_acceptor_remove(&api->acceptor, &client->item);
	api->parts.counts->open_connections = api->acceptor.count;
	thr_loop_defer(api->parts.loop, &client->deferred);
}

void client_new(struct thr_api *api, int fd, const struct thr_address *peer)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return;
	}
	client->api = api;
	client->stream.io = (struct thr_io){.fd = fd, .ready = on_ready};
	client->timer.fire = on_timer;
	client->again.run = on_again;
	client->deferred.run = release;
	client->peer = *peer;
	client->wait = WAIT_HEAD;
	if (thr_loop_watch(api->parts.loop, &client->stream.io, EPOLLIN | EPOLLOUT | EPOLLRDHUP) <
	    0) {
		close(fd);
		free(client);
		return;
	}
	thr_acceptor_add(&api->acceptor, &client->item);
	api->parts.counts->open_connections = api->acceptor.count;
	thr_loop_arm(api->parts.loop, &client->timer, api->settings.header_timeout_ms);
}
