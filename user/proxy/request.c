/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The decisions on a request; see request.h. */
#include "proxy/request.h"

#include <errno.h>

#include "proxy/identity.h"

/* A refused request's body up to this is read and dropped, so that the connection
 * can stay; one that is larger, or of unknown length, costs the connection. */
#define DISCARD_MAX 65536

/* Clients of a consistent hash stay where they are over restarts and on every
 * machine, so its key is no secret. */
static const struct thr_hash_key balance_key = {{0x746872, 0x62616c}};

static const char *refusal_text(unsigned int status)
{
	switch (status) {
	case 408:
		return "The request did not come in time.";
	case 413:
		return "The body is larger than this server takes.";
	case 414:
		return "The request line is longer than this server takes.";
	case 417:
		return "Only Expect: 100-continue is supported.";
	case 431:
		return "The header fields are larger or more than this server takes.";
	case 501:
		return "This server is a gateway: it knows neither this method nor this coding.";
	case 505:
		return "Only HTTP/1.0 and HTTP/1.1 are supported.";
	default:
		return "The request is not well-formed HTTP/1.1.";
	}
}

/* What is told of a request that was answered here. */
struct told {
	const struct thr_http_request *request;
	const struct route *route; /* NULL: none */
	const struct thr_address *client;
	unsigned int status;
	uint64_t duration_ns;
	uint64_t sent_before;
	enum thr_access_verdict verdict;
	struct thr_slice id;
};

static void tell(struct session *session, const struct told *told)
{
	struct thr_proxy *proxy = session->proxy;
	struct thr_access access = {
		.wall_ns = proxy_wall_ns(proxy) - told->duration_ns,
		.client = told->client,
		.method = told->request->method,
		.target = told->request->target,
		.status = told->status,
		.bytes = session->stream.sent + thr_buffer_length(&session->stream.out) -
			 told->sent_before,
		.duration_ns = told->duration_ns,
		.verdict = told->verdict,
		.request_id = told->id,
	};

	proxy_tell(proxy, told->route, &access);
}

/* Answer what is not a request, and close: where the next one begins is unknown. */
static void refuse(struct session *session, unsigned int status)
{
	struct thr_proxy *proxy = session->proxy;
	struct told told = {
		.request = &proxy->request,
		.client = &session->peer,
		.status = status,
		.sent_before = session->stream.sent,
	};
	struct thr_answer answer = {
		.status = status,
		.detail = refusal_text(status),
		.date = proxy_date(proxy),
		.client_minor = 1,
	};

	proxy->parts.counts->malformed++;
	session->linger = true;
	session_answer(session, &answer);
	tell(session, &told);
	session_next(session, false);
}

void request_timed_out(struct session *session)
{
	session->proxy->request.method = session->proxy->request.target = THR_SLICE("");
	refuse(session, 408);
}

/* Pass over the body of a request that is not forwarded. Returns whether the end of
 * it is known; *ret_used is what of `rest` belongs to it. */
static bool skip_body(struct session *session, const struct thr_http_request *request, size_t rest,
		      size_t *ret_used)
{
	uint64_t length = request->content_length;

	*ret_used = 0;
	if (request->body == THR_BODY_NONE)
		return true;
	if (request->body != THR_BODY_LENGTH || request->expect_continue || length > DISCARD_MAX)
		return false;
	*ret_used = rest < length ? rest : (size_t)length;
	session->discard = length - *ret_used;
	return true;
}

/* Answer a request ourselves. Returns the bytes of `rest` that were used. */
static size_t answer_here(struct session *session, const struct admitted *admitted,
			  unsigned int status, const char *detail, size_t rest)
{
	struct thr_proxy *proxy = session->proxy;
	const struct thr_http_request *request = admitted->request;
	char fields[THR_LIMIT_FIELDS_MAX];
	size_t used;
	bool stays = skip_body(session, request, rest, &used);
	struct told told = {
		.request = request,
		.route = admitted->route,
		.client = &admitted->client,
		.status = status,
		.duration_ns = thr_loop_now_ns(proxy->parts.loop) - admitted->begin_ns,
		.sent_before = session->stream.sent,
		.id = admitted->id,
	};
	struct thr_answer answer = {
		.status = status,
		.detail = detail,
		.request_id = admitted->id,
		.date = proxy_date(proxy),
		.keep_alive =
			stays && request->keep_alive && !proxy->draining && !admitted->blocked,
		.head_only = request->method_id == THR_METHOD_HEAD,
		.client_minor = request->minor,
	};

	if (admitted->limited) {
		answer.limits.at = fields;
		answer.limits.length =
			thr_http_limit_fields(admitted->policy, &admitted->standing, fields);
		told.verdict =
			admitted->standing.allowed ? THR_VERDICT_ALLOWED : THR_VERDICT_LIMITED;
	}
	session->linger = session->linger || !stays || request->keep_alive != answer.keep_alive;
	session_answer(session, &answer);
	tell(session, &told);
	session_next(session, answer.keep_alive);
	return used;
}

static uint64_t hash_client(const struct thr_address *client)
{
	size_t size = thr_address_is_v4(client) ? sizeof(client->bytes) : sizeof(client->bytes) / 2;

	return thr_hash(&balance_key, client->bytes, size).word[0];
}

static const struct route *find_route(const struct generation *generation,
				      const struct thr_http_request *request)
{
	const char *query = memchr(request->path.at, '?', request->path.length);
	struct thr_slice path = request->path;
	int index;

	if (query)
		path.length = (size_t)(query - path.at);
	if (!path.length)
		path = THR_SLICE("/");
	index = thr_routes_find(generation->index, path);
	return index < 0 ? NULL : &generation->routes[index];
}

static void identify(const struct session *session, struct admitted *admitted)
{
	const struct thr_http_request *request = admitted->request;
	const struct thr_config *config = admitted->generation->config;

	admitted->trusted = config->trusted_proxy_count &&
			    thr_address_in(&session->peer, config->trusted_proxies,
					   config->trusted_proxy_count);
	if (admitted->trusted)
		thr_identity_find(request->field, request->field_count, &session->peer,
				  config->trusted_proxies, config->trusted_proxy_count,
				  &admitted->client);
	else
		admitted->client = session->peer;
}

/* `answer` is the store's, when it was asked before. Returns the bytes of `rest` that were
 * used; the session may be SESSION_ASKING then. */
static size_t decide(struct session *session, const struct thr_http_request *request,
		     const struct asking *answer, struct thr_slice rest)
{
	struct thr_proxy *proxy = session->proxy;
	struct generation *generation = answer ? answer->generation : proxy->generation;
	const struct thr_config *config = generation->config;
	struct admitted admitted = {
		.request = request,
		.generation = generation,
		.route = find_route(generation, request),
		.begin_ns = answer ? answer->begin_ns : thr_loop_now_ns(proxy->parts.loop),
		.id = thr_head_request_id(request),
	};
	const struct route *route = admitted.route;
	char id[REQUEST_ID_TEXT];
	size_t used = 0;
	int charged;

	identify(session, &admitted);
	if (!admitted.id.length) {
		proxy_make_id(proxy, id);
		admitted.id = (struct thr_slice){id, sizeof(id)};
	}
	charged = charge(session, route && route->own.limited ? &route->own : &generation->fallback,
			 answer, &admitted);
	if (charged == -EINPROGRESS)
		return 0;
	if (charged < 0)
		return answer_here(session, &admitted, 503, "Out of memory.", rest.length);
	if (admitted.limited && !admitted.standing.allowed) {
		admitted.blocked = note_refused(session, &admitted);
		return answer_here(session, &admitted, 429,
				   "More requests than the limit allows: wait as long as "
				   "Retry-After says.",
				   rest.length);
	}
	if (!route)
		return answer_here(session, &admitted, 404, "No route leads to this path.",
				   rest.length);
	if (config->server.max_body_bytes &&
	    request->content_length > config->server.max_body_bytes)
		return answer_here(session, &admitted, 413, refusal_text(413), rest.length);
	if (route->picker.balance == THR_CONSISTENT_HASH)
		admitted.client_hash = hash_client(&admitted.client);
	if (exchange_begin(session, &admitted, rest, &used) < 0)
		return answer_here(session, &admitted, 503, "Out of memory.", rest.length);
	session->state = SESSION_BUSY;
	return used;
}

size_t request_take(struct session *session, char *at, size_t length)
{
	struct thr_proxy *proxy = session->proxy;
	struct asking *answer = session->asking; /* a configuration may have come meanwhile */
	const struct generation *generation = answer ? answer->generation : proxy->generation;
	int head = thr_http_parse_request(at, length, &generation->limits, &proxy->request);
	struct thr_slice rest;
	size_t used = length;

	if (head == 0)
		return 0;
	session->renewed = true;
	session->asking = NULL;
	if (head < 0) {
		refuse(session, (unsigned int)-head);
	} else {
		rest = (struct thr_slice){at + head, length - (size_t)head};
		used = (size_t)head + decide(session, &proxy->request, answer, rest);
	}
	charge_end(proxy, answer);
	return session->state == SESSION_ASKING ? 0 : used;
}

void request_abandon(struct session *session)
{
	struct thr_proxy *proxy = session->proxy;
	struct asking *asking = session->asking;
	struct told told = {
		.request = &proxy->request,
		.route = asking->route,
		.client = &asking->client,
		.duration_ns = thr_loop_now_ns(proxy->parts.loop) - asking->begin_ns,
		.sent_before = session->stream.sent,
	};

	session->asking = NULL;
	thr_store_cancel(proxy->parts.store, &asking->ask);
	/* For its method and target. */
	thr_http_parse_request(thr_buffer_bytes(&session->stream.in),
			       thr_buffer_length(&session->stream.in), &asking->generation->limits,
			       &proxy->request);
	tell(session, &told);
	charge_end(proxy, asking);
}
