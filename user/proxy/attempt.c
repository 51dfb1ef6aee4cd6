/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tries: which target an exchange goes to, the way to a connection, and what happens
 * when it was in vain.
 *
 *   choose a target -> its addresses -> connect or reuse -> (exchange.c)
 *         ^                 ^              |                    |
 *         |                 `- next one ---'                    |
 *         `------------ may be repeated: exchange_fail() -------'
 *
 * A try is repeated on another target only where that can do no harm: nothing
 * came back, nothing of the request is lost to us, and either nothing was sent or
 * the method is idempotent (RFC 9110, 9.2.2). A kept-alive connection that the
 * target closed at the same moment is nobody's fault: the same target is tried
 * again, once, on a new connection.
 */
#include <errno.h>
#include <sys/socket.h>

#include "proxy/internal.h"

#define TELL_EVERY_MS 10000
#define RESOLVE_RETRY_MS 1000 /* after a name had no address */

/* --- a try failed ------------------------------------------------------------------ */

static bool may_repeat(const struct exchange *exchange)
{
	bool harmless = !exchange->request_sent || thr_http_is_idempotent(exchange->method);

	return harmless && exchange->replayable && !exchange->answered && !exchange->interim_sent &&
	       !exchange->late;
}

/* Whether an error of socket() or connect() is this machine's, not the target's. */
static bool is_ours(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
	       error == EADDRNOTAVAIL;
}

/* Tell of a failure: of each target's first, and then not more often than it can be read. */
static void tell(struct exchange *exchange, bool aside, const char *detail)
{
	struct target *target = &exchange->generation->target[exchange->target];
	uint64_t now_ms = thr_loop_now_ms(exchange->session->proxy->parts.loop);

	if (!aside && target->told_ms && now_ms - target->told_ms < TELL_EVERY_MS)
		return;
	target->told_ms = now_ms;
	thr_log(THR_LOG_WARNING, "target %s of route %s %s: %s%s%s", target->endpoint->name,
		exchange->route->config->path, aside ? "is set aside" : "failed", detail,
		exchange->error ? " " : "", exchange->error ? strerror(exchange->error) : "");
}

/* Note down that the target is at fault; unless the request was not delivered to it: a
 * client that stalls in its body must not be able to set targets aside. */
static void blame(struct exchange *exchange, const char *detail)
{
	const struct generation *generation = exchange->generation;
	uint64_t now_ms = thr_loop_now_ms(exchange->session->proxy->parts.loop);
	bool aside;

	if (!exchange->has_target || (exchange->upstream && exchange->upstream->connected &&
				      !exchange_is_delivered(exchange)))
		return;
	aside = !is_ours(exchange->error) &&
		thr_target_failed(generation->targets, exchange->target,
				  &generation->config->upstream, now_ms);
	tell(exchange, aside, detail);
}

void exchange_fail(struct exchange *exchange, unsigned int status, const char *detail)
{
	const struct thr_upstream_config *rules = &exchange->generation->config->upstream;
	struct thr_proxy *proxy = exchange->session->proxy;
	const struct upstream *upstream = exchange->upstream;
	bool stale = upstream && upstream->reused && !exchange->answered && !exchange->late;
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
	exchange_let_go(exchange, false);
	if (!again) {
		exchange_answer(exchange, status, detail);
		return;
	}
	proxy->parts.counts->retries++;
	exchange->request_sent = 0;
	exchange->send_failed = false;
	exchange->keep_target = stale;
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
	exchange->error = 0;
	exchange->has_target = true;
	exchange->tried[exchange->tried_count++] = target;
	exchange->addresses_left = THR_ADDRESSES_MAX;
	exchange->upstream_begin_ns = thr_loop_now_ns(proxy->parts.loop);
	thr_target_begin(generation->targets, target, proxy->parts.worker);
	return true;
}

static void on_resolved(void *context, const struct thr_address *address, size_t count,
			uint32_t ttl_s)
{
	struct endpoint *endpoint = context;
	uint64_t now_ms = thr_loop_now_ms(endpoint->proxy->parts.loop);
	struct thr_link waiting;

	/* A name that has no address now keeps those that it had. */
	endpoint->expires_ms = now_ms + (count ? ttl_s * 1000ULL : RESOLVE_RETRY_MS);
	if (count) {
		endpoint->address_count = count < THR_ADDRESSES_MAX ? count : THR_ADDRESSES_MAX;
		for (size_t i = 0; i < endpoint->address_count; i++) {
			endpoint->address[i] = address[i];
			endpoint->address[i].port = endpoint->port;
		}
	}
	endpoint->resolving = false;

	thr_link_init(&waiting);
	while (!thr_link_is_empty(&endpoint->waiting)) {
		struct thr_link *item = endpoint->waiting.next;

		thr_link_remove(item);
		thr_link_add_last(&waiting, item);
	}
	while (!thr_link_is_empty(&waiting)) {
		struct exchange *exchange = THR_CONTAINER(waiting.next, struct exchange, item);

		thr_link_remove(&exchange->item);
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
	thr_resolver_find(endpoint->proxy->parts.resolver, endpoint->host, on_resolved, endpoint);
}

/* Get a connection to the chosen target, or begin to. Returns whether there is one;
 * else it waits for addresses, or failed. */
static bool get_upstream(struct exchange *exchange)
{
	struct endpoint *endpoint = exchange->generation->target[exchange->target].endpoint;
	const struct thr_upstream_config *rules = &exchange->generation->config->upstream;
	struct upstream *upstream = NULL;
	int r = 0;

	if (!exchange->fresh_only)
		upstream = upstream_reuse(endpoint, !thr_http_is_idempotent(exchange->method));
	if (!upstream) {
		endpoint_refresh(endpoint);
		if (!endpoint->address_count && endpoint->resolving) {
			thr_link_add_last(&endpoint->waiting, &exchange->item);
			exchange->session->renewed = true;
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
		exchange->error = endpoint->address_count ? -r : 0;
		exchange_fail(exchange, 502,
			      endpoint->address_count ? "The target could not be reached."
						      : "The target's name has no address.");
		return false;
	}
	upstream->exchange = exchange;
	exchange->upstream = upstream;
	exchange->error = 0;
	exchange->answered = false;
	exchange->awaits = true; /* a time is running: to connect, or of having been idle */
	exchange->due_ms = 0;
	if (!upstream->connected)
		upstream_wait(upstream, rules->connect_timeout_ms);
	return true;
}

/* Connecting to one address failed: the same try goes on with the next that the name
 * has, and fails with the last. */
static void connect_further(struct exchange *exchange, unsigned int status, const char *detail)
{
	struct upstream *upstream = exchange->upstream;

	if (!upstream || !exchange->addresses_left) {
		exchange_fail(exchange, status, detail);
		return;
	}
	exchange->upstream = NULL;
	upstream_close(upstream);
	get_upstream(exchange);
}

bool attempt_connect(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	socklen_t size = sizeof(int);
	int error = 0;

	if (!upstream->writable)
		return false;
	if (getsockopt(upstream->io.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error) {
		exchange->error = error;
		connect_further(exchange, 502, "The target could not be reached.");
		return true;
	}
	upstream->connected = true;
	return true;
}

bool attempt_begin(struct exchange *exchange)
{
	if (exchange_wants_name(exchange))
		return false;
	if (!exchange->has_target && !choose_target(exchange))
		return false;
	return get_upstream(exchange);
}

/* --- time ------------------------------------------------------------------------- */

void exchange_timed_out(struct exchange *exchange)
{
	struct session *session = exchange->session;

	if (!exchange->upstream || !exchange->upstream->connected) {
		connect_further(exchange, 504, "The target could not be reached in time.");
	} else {
		/* Whoever waited this long is not made to wait for another target. */
		exchange->late = true;
		exchange_fail(exchange, 504, "The target did not answer in time.");
	}
	session_pump(session);
}
