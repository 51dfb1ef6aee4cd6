/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The proxy as its daemon sees it, and what the data plane has in common: clocks,
 * identifiers, counters, log lines.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "proxy/internal.h"

#define TELL_EVERY_MS 10000
#define DESCRIPTORS_BESIDE 256 /* of a worker, that are not a connection's */

_Static_assert(THR_HEADER_BYTES_MAX + 1024 <= SCRATCH, "a head fits the scratch memory");
_Static_assert(THR_HEADERS_MAX <= THR_HTTP_FIELDS_MAX, "the parser holds all fields");

/* --- clocks, identifiers, counters ------------------------------------------------- */

uint64_t proxy_wall_ns(struct thr_proxy *proxy)
{
	return thr_wall_ns(&proxy->wall, thr_loop_now_ns(proxy->parts.loop));
}

const char *proxy_date(struct thr_proxy *proxy)
{
	return thr_wall_date(&proxy->wall, thr_loop_now_ns(proxy->parts.loop));
}

/* xorshift128+ (Vigna, 2014): for identifiers and for spreading, not for secrets. */
uint64_t proxy_random(struct thr_proxy *proxy)
{
	uint64_t a = proxy->random[0], b = proxy->random[1];

	proxy->random[0] = b;
	a ^= a << 23;
	proxy->random[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
	return proxy->random[1] + b;
}

/* Eight hexadecimal digits at once: each nibble to a byte of its own, then to its digit
 * by adding '0', and what lies between '9' and 'a' where it is over 9. */
static void put_hex(char *at, uint32_t value)
{
	uint64_t nibbles = value, over;

	nibbles = (nibbles | nibbles << 16) & 0x0000ffff0000ffffULL;
	nibbles = (nibbles | nibbles << 8) & 0x00ff00ff00ff00ffULL;
	nibbles = (nibbles | nibbles << 4) & 0x0f0f0f0f0f0f0f0fULL;
	over = (nibbles + 0x0606060606060606ULL) >> 4 & 0x0101010101010101ULL;
	nibbles += 0x3030303030303030ULL + over * ('a' - '0' - 10);
	memcpy(at, &nibbles, sizeof(nibbles));
}

void proxy_make_id(struct thr_proxy *proxy, char id[static REQUEST_ID_TEXT])
{
	for (size_t i = 0; i < REQUEST_ID_TEXT; i += 8)
		put_hex(id + i, (uint32_t)proxy_random(proxy));
}

void proxy_tell(struct thr_proxy *proxy, const struct route *route, const struct thr_access *access)
{
	char *line;

	thr_route_counts_add(route ? route->counts : proxy->other_counts, access);
	if (!thr_log_enabled(THR_LOG_INFO))
		return;
	line = thr_log_reserve(THR_ACCESS_LINE_MAX);
	if (line)
		thr_log_commit(thr_access_format(line, thr_log_current_format(), access));
}

/* --- connections ------------------------------------------------------------------- */

static struct thr_proxy *proxy_of(struct thr_acceptor *acceptor)
{
	return THR_CONTAINER(acceptor, struct thr_proxy, acceptor);
}

static struct session *session_of(const struct thr_link *item)
{
	return THR_CONTAINER(item, struct session, item);
}

static void on_connection(struct thr_acceptor *acceptor, int fd, const struct thr_address *peer)
{
	struct thr_proxy *proxy = proxy_of(acceptor);

	proxy->parts.counts->connections++;
	session_new(proxy, fd, peer);
}

static uint64_t idle_until_ms(const struct thr_link *item)
{
	const struct session *session = session_of(item);

	return session->wait == WAIT_IDLE ? session->timer.due_ms : 0;
}

static void close_connection(struct thr_link *item)
{
	session_close(session_of(item));
}

static void tell_of_being_full(struct thr_acceptor *acceptor)
{
	struct thr_proxy *proxy = proxy_of(acceptor);
	uint64_t now_ms = thr_loop_now_ms(proxy->parts.loop);

	if (proxy->full_told_ms && now_ms - proxy->full_told_ms < TELL_EVERY_MS)
		return;
	proxy->full_told_ms = now_ms;
	thr_log(THR_LOG_WARNING,
		"%zu connections, all of them in use: new ones wait; raise server.max_connections "
		"or the limit of open files",
		acceptor->count);
}

static const struct thr_acceptor_use acceptor_use = {
	.accept = on_connection,
	.idle_until_ms = idle_until_ms,
	.close = close_connection,
	.full = tell_of_being_full,
};

int thr_proxy_listen(struct thr_proxy *proxy, unsigned int slot, int fd)
{
	return thr_acceptor_listen(&proxy->acceptor, slot, fd);
}

void thr_proxy_unlisten(struct thr_proxy *proxy, unsigned int slot)
{
	thr_acceptor_unlisten(&proxy->acceptor, slot);
}

/* --- the proxy --------------------------------------------------------------------- */

int thr_proxy_new(const struct thr_proxy_parts *parts, struct thr_proxy **ret_proxy,
		  struct thr_error *error)
{
	struct thr_proxy *proxy = calloc(1, sizeof(*proxy));
	int r = proxy ? 0 : -ENOMEM;

	if (r == 0) {
		proxy->parts = *parts;
		proxy->other_counts = thr_route_counts_of(parts->route_counts, parts->worker, 0);
		thr_link_init(&proxy->spare);
		r = thr_acceptor_init(&proxy->acceptor, parts->loop, parts->workers, &acceptor_use);
	}
	if (r == 0 && getrandom(proxy->random, sizeof(proxy->random), 0) < 0)
		r = -errno;
	if (r < 0) {
		thr_proxy_free(proxy);
		return thr_fail(error, -r, "the proxy cannot start: %s", strerror(-r));
	}
	*ret_proxy = proxy;
	return 0;
}

/* A worker's share of the connections, rounded up; fewer when that is more than it has
 * descriptors for, of which a quarter is left to connections to targets. */
static size_t session_limit(const struct thr_server_config *server, unsigned int workers)
{
	uint64_t share = (server->max_connections + workers - 1) / workers, room = 1;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return share;
	if (limit.rlim_cur > DESCRIPTORS_BESIDE + 2)
		room = (limit.rlim_cur - DESCRIPTORS_BESIDE) / 4 * 3;
	return share < room ? share : room;
}

int thr_proxy_configure(struct thr_proxy *proxy, struct thr_config *config,
			struct thr_targets *targets, struct thr_error *error)
{
	struct generation *generation, *before = proxy->generation;
	unsigned int workers = proxy->parts.workers;
	int r = generation_new(proxy, config, targets, &generation);

	if (r < 0)
		return thr_fail(error, -r, "the configuration cannot be used: %s", strerror(-r));
	proxy->generation = generation;
	proxy->acceptor.max = session_limit(&config->server, workers);
	if (before)
		checks_stop(before);
	generation_put(before);
	return 0;
}

void thr_proxy_drain(struct thr_proxy *proxy)
{
	struct thr_link *item, *next;

	if (proxy->draining)
		return;
	thr_acceptor_stop(&proxy->acceptor);
	proxy->draining = true;
	/* What a client has sent already is still answered. */
	for (item = proxy->acceptor.connections.next; item != &proxy->acceptor.connections;
	     item = next) {
		struct session *session = session_of(item);

		next = item->next;
		if (session->wait != WAIT_IDLE && session->used)
			continue;
		session->stream.readable = true;
		session_drain(session);
	}
	for (size_t i = 0; i < ENDPOINT_BUCKETS; i++)
		for (struct endpoint *at = proxy->endpoints[i]; at; at = at->next)
			endpoint_close_idle(at);
}

size_t thr_proxy_busy(const struct thr_proxy *proxy)
{
	return proxy->acceptor.count;
}

void thr_proxy_free(struct thr_proxy *proxy)
{
	if (!proxy)
		return;
	proxy->draining = true;
	thr_acceptor_clear(&proxy->acceptor);
	if (proxy->generation)
		checks_stop(proxy->generation);
	/* What was put off to the end of the turn still points here. */
	thr_loop_turn(proxy->parts.loop, 0);
	generation_put(proxy->generation);
	thr_loop_turn(proxy->parts.loop, 0);
	exchange_free_spare(proxy);
	free(proxy->spare_asking);
	free(proxy);
}
