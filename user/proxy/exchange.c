/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A request on its way to a target, and the response on its way back: the order of its
 * steps, and its beginning and end.
 *
 *   begin -> attempt.c: a target, a connection -> relay.c: the request
 *     -> reply.c: the head of the answer -> relay.c: its body -> end
 */
#include <errno.h>
#include <stdlib.h>

#include "proxy/internal.h"

#define SPARE_MAX 1024 /* exchanges that are kept for others */
#define SPARE_ROOM 4096
#define REQUEST_ROOM_MAX 262144	 /* of a head that is sent to a target */
#define BODY_WITH_HEAD_MAX 16384 /* of a body that is kept and sent with it */

/* --- the end ----------------------------------------------------------------------- */

/* An exchange, zeroed but for the memory of its `request`: one that was used before,
 * where there is one, since a turn ends and begins as many as there are clients. */
static struct exchange *take(struct thr_proxy *proxy)
{
	struct exchange *exchange;
	struct thr_buffer request;

	if (thr_link_is_empty(&proxy->spare))
		return calloc(1, sizeof(*exchange));
	exchange = THR_CONTAINER(proxy->spare.next, struct exchange, item);
	thr_link_remove(&exchange->item);
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
	thr_link_add_first(&proxy->spare, &exchange->item);
	proxy->spare_count++;
}

void exchange_free_spare(struct thr_proxy *proxy)
{
	while (!thr_link_is_empty(&proxy->spare)) {
		struct exchange *exchange = THR_CONTAINER(proxy->spare.next, struct exchange, item);

		thr_link_remove(&exchange->item);
		thr_buffer_clear(&exchange->request);
		free(exchange);
	}
}

static void release(struct thr_deferred *deferred)
{
	struct exchange *exchange = THR_CONTAINER(deferred, struct exchange, deferred);
	struct generation *generation = exchange->generation;

	thr_buffer_clear(&exchange->pending);
	give(generation->proxy, exchange);
	generation_put(generation);
}

bool exchange_is_delivered(const struct exchange *exchange)
{
	return exchange->body.done && !exchange->send_failed &&
	       exchange->request_sent == thr_buffer_length(&exchange->request) &&
	       !thr_buffer_length(&exchange->pending);
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
		.bytes = session->stream.sent + thr_buffer_length(&session->stream.out) -
			 exchange->sent_before,
		.duration_ns = thr_loop_now_ns(proxy->parts.loop) - exchange->begin_ns,
		.upstream = target ? target->endpoint->name : NULL,
		.upstream_ns = exchange->upstream_ns,
		.verdict = exchange->limited ? THR_VERDICT_ALLOWED : THR_VERDICT_NONE,
		.request_id = {exchange->id, exchange->id_length},
	};

	proxy_tell(proxy, exchange->route, &access);
}

void exchange_let_go(struct exchange *exchange, bool reusable)
{
	struct upstream *upstream = exchange->upstream;

	exchange->upstream = NULL;
	if (!thr_link_is_empty(&exchange->item))
		thr_link_remove(&exchange->item);
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
	if (exchange->has_target && !exchange->upstream_ns)
		exchange->upstream_ns =
			thr_loop_now_ns(session->proxy->parts.loop) - exchange->upstream_begin_ns;
	exchange_let_go(exchange, exchange->answer_complete && exchange->upstream_keep_alive &&
					  exchange_is_delivered(exchange));
	log_exchange(exchange);
	thr_loop_defer(session->proxy->parts.loop, &exchange->deferred);
}

static void finish_with(struct exchange *exchange, bool keep_alive)
{
	struct session *session = exchange->session;

	if (!exchange->body.done || exchange->keep_alive != keep_alive)
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

/* --- the client's time --- */

void exchange_client_timed_out(struct exchange *exchange)
{
	exchange_answer(exchange, 408, "The request's body did not come in time.");
}

/* --- the steps --------------------------------------------------------------------- */

bool exchange_wants_body(const struct exchange *exchange)
{
	return exchange->upstream && exchange->upstream->connected && !exchange->body.done &&
	       !exchange->send_failed && !exchange->tunnel &&
	       !thr_buffer_length(&exchange->pending) &&
	       exchange->request_sent == thr_buffer_length(&exchange->request);
}

bool exchange_wants_name(const struct exchange *exchange)
{
	return !thr_link_is_empty(&exchange->item);
}

/* The target is waited for when neither the client's body nor its taking of the answer
 * is. The time begins anew when the target took something or sent a part of its body; its
 * head has one deadline, whatever comes before it. */
void exchange_settle(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	uint64_t now_ms;
	bool awaits;

	if (!upstream || !upstream->connected || exchange->tunnel)
		return;
	now_ms = thr_loop_now_ms(upstream->endpoint->proxy->parts.loop);
	exchange->progressed |= !exchange->due_ms; /* the first time for this connection */
	awaits = !exchange_wants_body(exchange) &&
		 !(exchange->head_sent && thr_buffer_length(&exchange->session->stream.out));
	if (exchange->progressed || exchange->head_sent)
		exchange->due_ms =
			now_ms + exchange->generation->config->upstream.response_timeout_ms;
	if (!awaits && exchange->awaits)
		upstream_wait(upstream, 0);
	else if (awaits && (!exchange->awaits || exchange->progressed))
		upstream_wait(upstream, exchange->due_ms > now_ms ? exchange->due_ms - now_ms : 1);
	exchange->awaits = awaits;
	exchange->progressed = false;
}

/* The whole answer was written to the client. */
static bool is_complete(const struct exchange *exchange)
{
	return exchange->head_sent && exchange->answer.done && !exchange->tunnel &&
	       !thr_buffer_length(&exchange->session->stream.out);
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
	if (!exchange->upstream && !attempt_begin(exchange))
		return exchange->ended || (!exchange->has_target && !exchange_wants_name(exchange));
	if (!exchange->upstream->connected)
		return attempt_connect(exchange);

	sent = relay_request(exchange);
	if (!exchange->ended && exchange->upstream)
		sent |= relay_body_up(exchange);
	if (!exchange->ended && exchange->upstream && exchange->upstream->readable &&
	    !exchange->answer.done && !thr_buffer_length(&session->stream.out))
		received = exchange->head_sent ? relay_answer(exchange) : reply_receive(exchange);
	if (exchange->ended)
		return true;
	exchange->progressed |= sent || (received && exchange->head_sent);
	if (received && is_complete(exchange))
		complete(exchange);
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
	thr_link_init(&exchange->item);
	r = build_request(exchange, admitted, rest, ret_used);
	if (r < 0) {
		give(proxy, exchange);
		return r;
	}
	exchange->generation = generation_get(admitted->generation);
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
	exchange->begin_ns = admitted->begin_ns;
	exchange->wall_ns =
		proxy_wall_ns(proxy) - (thr_loop_now_ns(proxy->parts.loop) - admitted->begin_ns);
	exchange->sent_before = session->stream.sent;
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
