/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A request on its way to a target, and the response on its way back.
 *
 *   choose a target -> its addresses -> connect or reuse -> send -> response
 *         ^                                                   |
 *         `----------- the try failed, and may be repeated ---'
 *
 * A try is repeated on another target only where that can do no harm: nothing
 * came back, nothing of the request is lost to us, and either nothing was sent or
 * the method is idempotent (RFC 9110, 9.2.2). A kept-alive connection that the
 * target closed at the same moment is nobody's fault: the same target is tried
 * again, once, on a new connection.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "proxy/internal.h"

#define SPARE_MAX 1024 /* exchanges that are kept for others */
#define SPARE_ROOM 4096
#define RESOLVE_RETRY_MS 1000	 /* after a name had no address */
#define REQUEST_ROOM_MAX 262144	 /* of a head that is sent to a target */
#define BODY_WITH_HEAD_MAX 16384 /* of a body that is kept and sent with it */

/* --- the end ----------------------------------------------------------------------- */

/* An exchange, zeroed but for the memory of its `request`: one that was used before,
 * where there is one, since a turn ends and begins as many as there are clients. */
static struct exchange *take(struct thr_proxy *proxy)
{
	struct exchange *exchange;
	struct thr_buffer request;

	if (list_is_empty(&proxy->spare))
		return calloc(1, sizeof(*exchange));
	exchange = CONTAINER(proxy->spare.next, struct exchange, item);
	list_remove(&exchange->item);
	proxy->spare_count--;
	request = exchange->request;
	*exchange = (struct exchange){.request = {.at = request.at, .room = request.room}};
	return exchange;
}

static void give(struct thr_proxy *proxy, struct exchange *exchange)
{
	if (proxy->spare_count == SPARE_MAX || exchange->request.room > SPARE_ROOM) {
		thr_buffer_clear(&exchange->request);
		free(exchange);
		return;
	}
	list_add_first(&proxy->spare, &exchange->item);
	proxy->spare_count++;
}

void exchange_free_spare(struct thr_proxy *proxy)
{
	while (!list_is_empty(&proxy->spare)) {
		struct exchange *exchange = CONTAINER(proxy->spare.next, struct exchange, item);

		list_remove(&exchange->item);
		thr_buffer_clear(&exchange->request);
		free(exchange);
	}
}

static void release(struct thr_deferred *deferred)
{
	struct exchange *exchange = CONTAINER(deferred, struct exchange, deferred);
	struct generation *generation = exchange->generation;

	thr_buffer_clear(&exchange->pending);
	give(generation->proxy, exchange);
	generation_put(generation);
}

static void log_exchange(struct exchange *exchange)
{
	struct session *session = exchange->session;
	struct thr_proxy *proxy = session->proxy;
	const char *head = thr_buffer_bytes(&exchange->request);
	const struct target *target =
		exchange->tried_count ? &exchange->generation->target[exchange->target] : NULL;
	struct thr_access access = {
		.wall_ns = exchange->wall_ns,
		.client = &exchange->client,
		.method = {head, exchange->method_length},
		.target = {head + exchange->method_length + 1, exchange->target_length},
		.status = exchange->status,
		.bytes = session->sent + thr_buffer_length(&session->out) - exchange->sent_before,
		.duration_ns = thr_loop_now_ns(proxy->parts.loop) - exchange->begin_ns,
		.upstream = target ? target->endpoint->name : NULL,
		.upstream_ns = exchange->upstream_ns,
		.verdict = exchange->limited ? THR_VERDICT_ALLOWED : THR_VERDICT_NONE,
		.request_id = {exchange->id, exchange->id_length},
	};

	proxy_count_status(proxy, exchange->status);
	proxy_log_access(proxy, &access);
}

/* The upstream is the exchange's no longer. */
static void let_go(struct exchange *exchange, bool reusable)
{
	struct upstream *upstream = exchange->upstream;

	exchange->upstream = NULL;
	if (!list_is_empty(&exchange->item))
		list_remove(&exchange->item);
	if (exchange->has_target)
		thr_target_end(exchange->generation->targets, exchange->target,
			       exchange->session->proxy->parts.worker);
	exchange->has_target = false;
	if (!upstream)
		return;
	if (reusable)
		upstream_park(upstream);
	else
		upstream_close(upstream);
}

void exchange_finish(struct exchange *exchange)
{
	struct session *session = exchange->session;

	if (exchange->ended)
		return;
	exchange->ended = true;
	session->exchange = NULL;
	let_go(exchange,
	       exchange->answer_complete && exchange->upstream_keep_alive && exchange->body.done);
	log_exchange(exchange);
	thr_loop_defer(session->proxy->parts.loop, &exchange->deferred);
}

static void finish_with(struct exchange *exchange, bool keep_alive)
{
	struct session *session = exchange->session;

	if (!exchange->body.done)
		session->linger = true;
	exchange_finish(exchange);
	session_next(session, keep_alive);
}

/* Answer in the target's place; when it has begun to answer already, break off so
 * that the client can tell. */
void exchange_answer(struct exchange *exchange, unsigned int status, const char *detail)
{
	struct session *session = exchange->session;
	struct thr_proxy *proxy = session->proxy;
	char fields[THR_LIMIT_FIELDS_MAX];
	struct thr_answer answer = {
		.status = status,
		.detail = detail,
		.request_id = {exchange->id, exchange->id_length},
		.date = proxy_date(proxy),
		.keep_alive = exchange->keep_alive && exchange->body.done && !proxy->draining,
		.head_only = exchange->method == THR_METHOD_HEAD,
		.client_minor = exchange->minor,
	};

	if (exchange->head_sent) {
		session_abort(session);
		return;
	}
	if (exchange->limited) {
		answer.limits.at = fields;
		answer.limits.length =
			thr_http_limit_fields(exchange->policy, &exchange->standing, fields);
	}
	exchange->status = status;
	proxy->parts.counts->upstream_errors += status >= 502;
	session_answer(session, &answer);
	if (!exchange->ended)
		finish_with(exchange, answer.keep_alive);
}

/* --- a try failed ------------------------------------------------------------------ */

static bool may_repeat(const struct exchange *exchange)
{
	bool harmless = !exchange->request_sent || thr_http_is_idempotent(exchange->method);

	return !exchange->head_sent && !exchange->interim_sent && exchange->replayable && harmless;
}

/* Note down that the target is at fault. */
static void blame(struct exchange *exchange, const char *detail)
{
	const struct generation *generation = exchange->generation;
	uint64_t now_ms = thr_loop_now_ms(exchange->session->proxy->parts.loop);

	if (exchange->has_target && thr_target_failed(generation->targets, exchange->target,
						      &generation->config->upstream, now_ms))
		thr_log(THR_LOG_WARNING, "target %s of route %s is set aside: %s",
			generation->target[exchange->target].endpoint->name,
			exchange->route->config->path, detail);
}

void exchange_fail(struct exchange *exchange, unsigned int status, const char *detail)
{
	const struct thr_upstream_config *rules = &exchange->generation->config->upstream;
	struct thr_proxy *proxy = exchange->session->proxy;
	const struct upstream *upstream = exchange->upstream;
	bool stale = upstream && upstream->reused && !exchange->answered;
	bool again = may_repeat(exchange);

	exchange->failed_status = status;
	exchange->failed_detail = detail;
	exchange->upstream_ns = thr_loop_now_ns(proxy->parts.loop) - exchange->upstream_begin_ns;
	if (stale) {
		exchange->fresh_only = true;
		exchange->tried_count -= again;
	} else {
		blame(exchange, detail);
		again = again && exchange->tried_count <= rules->retries &&
			exchange->tried_count < THR_TRIED_MAX &&
			exchange->tried_count < exchange->route->picker.count;
	}
	let_go(exchange, false);
	if (!again) {
		exchange_answer(exchange, status, detail);
		return;
	}
	proxy->parts.counts->retries++;
	exchange->request_sent = 0;
	exchange->send_failed = false;
	exchange->keep_target = stale;
}

void exchange_timed_out(struct exchange *exchange)
{
	struct session *session = exchange->session;

	if (!exchange->upstream->connected)
		exchange_fail(exchange, 504, "The target could not be reached in time.");
	else {
		/* Whoever waited this long is not made to wait for another target. */
		exchange->replayable = false;
		exchange_fail(exchange, 504, "The target did not answer in time.");
	}
	session_pump(session);
}

void exchange_client_timed_out(struct exchange *exchange)
{
	exchange_answer(exchange, 408, "The request's body did not come in time.");
}

/* --- choosing and connecting ------------------------------------------------------- */

/* Returns whether there is a target; else the exchange has been answered. */
static bool choose_target(struct exchange *exchange)
{
	struct thr_proxy *proxy = exchange->session->proxy;
	struct generation *generation = exchange->generation;
	const struct thr_pick pick = {
		.client = exchange->client_hash,
		.now_ms = thr_loop_now_ms(proxy->parts.loop),
		.tried = exchange->tried,
		.tried_count = exchange->tried_count,
	};
	/* Picks advance the route's turn, which is the generation's to change. */
	struct thr_picker *picker =
		&generation->routes[exchange->route - generation->routes].picker;
	size_t target = exchange->keep_target ? exchange->target
					      : thr_pick(picker, generation->targets, &pick);

	exchange->keep_target = false;
	if (target == THR_PICK_NONE) {
		if (exchange->tried_count)
			exchange_answer(exchange, exchange->failed_status, exchange->failed_detail);
		else
			exchange_answer(exchange, 503, "No target of this route is available.");
		return false;
	}
	exchange->target = target;
	exchange->has_target = true;
	exchange->tried[exchange->tried_count++] = target;
	exchange->addresses_left = ADDRESSES_MAX;
	exchange->upstream_begin_ns = thr_loop_now_ns(proxy->parts.loop);
	thr_target_begin(generation->targets, target, proxy->parts.worker);
	return true;
}

static void on_resolved(void *context, const struct thr_address *address, size_t count,
			uint32_t ttl_s)
{
	struct endpoint *endpoint = context;
	uint64_t now_ms = thr_loop_now_ms(endpoint->proxy->parts.loop);
	struct list waiting;

	/* A name that has no address now keeps those that it had. */
	endpoint->expires_ms = now_ms + (count ? ttl_s * 1000ULL : RESOLVE_RETRY_MS);
	if (count) {
		endpoint->address_count = count < ADDRESSES_MAX ? count : ADDRESSES_MAX;
		for (size_t i = 0; i < endpoint->address_count; i++) {
			endpoint->address[i] = address[i];
			endpoint->address[i].port = endpoint->port;
		}
	}
	endpoint->resolving = false;

	list_init(&waiting);
	while (!list_is_empty(&endpoint->waiting)) {
		struct list *item = endpoint->waiting.next;

		list_remove(item);
		list_add_last(&waiting, item);
	}
	while (!list_is_empty(&waiting)) {
		struct exchange *exchange = CONTAINER(waiting.next, struct exchange, item);

		list_remove(&exchange->item);
		if (!endpoint->address_count)
			exchange_fail(exchange, 502, "The target's name has no address.");
		thr_loop_defer(endpoint->proxy->parts.loop, &exchange->session->again);
	}
	endpoint_put(endpoint);
}

void endpoint_refresh(struct endpoint *endpoint)
{
	if (endpoint->is_literal || endpoint->resolving ||
	    thr_loop_now_ms(endpoint->proxy->parts.loop) < endpoint->expires_ms)
		return;
	endpoint->resolving = true;
	endpoint->references++;
	resolver_find(endpoint->proxy->resolver, endpoint->host, on_resolved, endpoint);
}

/* Get a connection to the chosen target, or begin to. Returns whether there is one;
 * else it waits for addresses, or failed. */
static bool get_upstream(struct exchange *exchange)
{
	struct endpoint *endpoint = exchange->generation->target[exchange->target].endpoint;
	const struct thr_upstream_config *rules = &exchange->generation->config->upstream;
	struct upstream *upstream = NULL;
	int r = -EADDRNOTAVAIL;

	if (!exchange->fresh_only)
		upstream = upstream_reuse(endpoint, !thr_http_is_idempotent(exchange->method));
	if (!upstream) {
		endpoint_refresh(endpoint);
		if (!endpoint->address_count && endpoint->resolving) {
			list_add_last(&endpoint->waiting, &exchange->item);
			return false;
		}
		if (exchange->addresses_left > endpoint->address_count)
			exchange->addresses_left = (unsigned int)endpoint->address_count;
		while (!upstream && exchange->addresses_left) {
			exchange->addresses_left--;
			r = upstream_open(endpoint, &upstream);
		}
	}
	if (!upstream) {
		exchange_fail(exchange, 502,
			      r == -EADDRNOTAVAIL && !endpoint->address_count
				      ? "The target's name has no address."
				      : "The target could not be reached.");
		return false;
	}
	upstream->exchange = exchange;
	exchange->upstream = upstream;
	exchange->answered = false;
	upstream_wait(upstream,
		      upstream->connected ? rules->response_timeout_ms : rules->connect_timeout_ms);
	return true;
}

/* See how connecting went. Returns whether anything changed. */
static bool finish_connecting(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	socklen_t size = sizeof(int);
	int error = 0;

	if (!upstream->writable)
		return false;
	if (getsockopt(upstream->io.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error) {
		if (!exchange->addresses_left) {
			exchange_fail(exchange, 502, "The target could not be reached.");
			return true;
		}
		/* The name has further addresses: the same try goes on with the next. */
		exchange->upstream = NULL;
		upstream_close(upstream);
		get_upstream(exchange);
		return true;
	}
	upstream->connected = true;
	upstream_wait(upstream, exchange->generation->config->upstream.response_timeout_ms);
	return true;
}

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
	exchange->upstream_ns =
		thr_loop_now_ns(session->proxy->parts.loop) - exchange->upstream_begin_ns;
	if (response->status == 101) {
		exchange->tunnel = true;
		upstream_wait(exchange->upstream, 0);
		if (thr_buffer_append(&exchange->pending, thr_buffer_bytes(&session->in),
				      thr_buffer_length(&session->in)) < 0) {
			session_abort(session);
			return;
		}
		thr_buffer_clear(&session->in);
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
	return session_send(exchange->session,
			    &(struct iovec){(void *)(uintptr_t)head.at, head.length}, 1);
}

/* Use what there is of a response's head. Returns the bytes used. */
static size_t use_head(struct exchange *exchange, char *at, size_t length)
{
	struct thr_http_response *response = &exchange->session->proxy->response;
	size_t used = 0;

	for (;;) {
		int head = thr_http_parse_response(at + used, length - used, exchange->method,
						   &exchange->generation->limits, response);
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

static bool receive_head(struct exchange *exchange)
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

/* --- the steps --------------------------------------------------------------------- */

bool exchange_wants_body(const struct exchange *exchange)
{
	return exchange->upstream && exchange->upstream->connected && !exchange->body.done &&
	       !exchange->send_failed && !exchange->tunnel &&
	       !thr_buffer_length(&exchange->pending) &&
	       exchange->request_sent == thr_buffer_length(&exchange->request);
}

/* Wait for the target anew: it took something, or sent a part of its body. Its head has
 * one deadline, whatever comes before it. */
static void settle(struct exchange *exchange)
{
	bool wait = !thr_buffer_length(&exchange->session->out) && !exchange_wants_body(exchange);

	upstream_wait(exchange->upstream,
		      wait ? exchange->generation->config->upstream.response_timeout_ms : 0);
}

/* The whole answer was written to the client. */
static bool is_complete(const struct exchange *exchange)
{
	return exchange->head_sent && exchange->answer.done && !exchange->tunnel &&
	       !thr_buffer_length(&exchange->session->out);
}

static void complete(struct exchange *exchange)
{
	exchange->answer_complete = true;
	finish_with(exchange, exchange->reply_keep_alive && exchange->body.done);
}

bool exchange_step(struct exchange *exchange)
{
	struct session *session = exchange->session;
	bool sent, received = false;

	if (exchange->tunnel)
		return relay_tunnel(exchange);
	if (is_complete(exchange)) {
		complete(exchange);
		return true;
	}
	if (!exchange->upstream) {
		if (!list_is_empty(&exchange->item))
			return false;
		if (!exchange->has_target && !choose_target(exchange))
			return true;
		if (!get_upstream(exchange))
			return exchange->ended || !exchange->has_target;
	}
	if (!exchange->upstream->connected)
		return finish_connecting(exchange);

	sent = relay_request(exchange);
	if (!exchange->ended && exchange->upstream)
		sent |= relay_body_up(exchange);
	if (!exchange->ended && exchange->upstream && exchange->upstream->readable &&
	    !exchange->answer.done && !thr_buffer_length(&session->out))
		received = exchange->head_sent ? relay_answer(exchange) : receive_head(exchange);
	if (!exchange->ended && exchange->upstream && !exchange->tunnel &&
	    (sent || (received && exchange->head_sent))) {
		if (is_complete(exchange))
			complete(exchange);
		else
			settle(exchange);
	}
	return sent || received;
}

/* --- the beginning ----------------------------------------------------------------- */

/* Write the head for the target, and a small body that came with it, so that both go
 * out at once and can be sent again. */
static int build_request(struct exchange *exchange, const struct admitted *admitted,
			 struct thr_slice rest, size_t *ret_used)
{
	const struct thr_http_request *request = admitted->request;
	const struct thr_origin origin = {
		.peer = &exchange->session->peer,
		.peer_is_trusted = admitted->trusted,
		.request_id = admitted->id,
	};
	struct thr_buffer *buffer = &exchange->request;
	size_t length = 0;

	for (size_t room = 1000; !length; room *= 4) {
		if (room > REQUEST_ROOM_MAX)
			return -EMSGSIZE;
		if (thr_buffer_reserve(buffer, room) < 0)
			return -ENOMEM;
		length = thr_head_request(buffer->at, buffer->room, request, &origin);
	}
	buffer->end = length;
	thr_body_begin(&exchange->body, request->body, request->content_length,
		       request->body == THR_BODY_CHUNKED);
	*ret_used = 0;
	if (request->body != THR_BODY_LENGTH || request->content_length > rest.length ||
	    request->content_length > BODY_WITH_HEAD_MAX)
		return 0;
	*ret_used = (size_t)request->content_length;
	exchange->body.done = true;
	return thr_buffer_append(buffer, rest.at, *ret_used);
}

int exchange_begin(struct session *session, const struct admitted *admitted, struct thr_slice rest,
		   size_t *ret_used)
{
	const struct thr_http_request *request = admitted->request;
	struct thr_proxy *proxy = session->proxy;
	struct exchange *exchange = take(proxy);
	const char *space;
	int r;

	if (!exchange)
		return -ENOMEM;
	exchange->session = session;
	list_init(&exchange->item);
	r = build_request(exchange, admitted, rest, ret_used);
	if (r < 0) {
		give(proxy, exchange);
		return r;
	}
	exchange->generation = generation_get(proxy->generation);
	exchange->deferred.run = release;
	exchange->route = admitted->route;
	exchange->client_hash = admitted->client_hash;
	exchange->method = request->method_id;
	exchange->minor = request->minor;
	exchange->keep_alive = request->keep_alive;
	exchange->upgrade = request->upgrade;
	exchange->replayable = true;
	exchange->limited = admitted->limited;
	exchange->standing = admitted->standing;
	exchange->policy = admitted->policy;
	exchange->client = admitted->client;
	exchange->begin_ns = thr_loop_now_ns(proxy->parts.loop);
	exchange->wall_ns = proxy_wall_ns(proxy);
	exchange->sent_before = session->sent;
	exchange->method_length = request->method.length;
	space = memchr(exchange->request.at + request->method.length + 1, ' ',
		       exchange->request.end - request->method.length - 1);
	exchange->target_length =
		(size_t)(space - exchange->request.at) - request->method.length - 1;
	memcpy(exchange->id, admitted->id.at, admitted->id.length);
	exchange->id_length = admitted->id.length;
	session->exchange = exchange;
	return 0;
}
