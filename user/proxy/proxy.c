/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The proxy as its daemon sees it, the listeners, and what the data plane has in
 * common: clocks, identifiers, counters, log lines.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/internal.h"

#define ACCEPTS_A_TURN 64 /* before connections that are open get their turn */
#define ACCEPT_RETRY_MS 100
#define TELL_EVERY_MS 10000
#define DESCRIPTORS_BESIDE 256	   /* of a worker, that are not a connection's */
#define IDLE_LOOKS 64		   /* at connections, for one to close when there are too many */
#define WALL_CHECK_NS THR_NS_PER_S /* how often the wall clock may step unnoticed */

_Static_assert(THR_HEADER_BYTES_MAX + 1024 <= SCRATCH, "a head fits the scratch memory");
_Static_assert(THR_HEADERS_MAX <= THR_HTTP_FIELDS_MAX, "the parser holds all fields");

/* --- clocks, identifiers, counters ------------------------------------------------- */

uint64_t proxy_wall_ns(struct thr_proxy *proxy)
{
	uint64_t now_ns = thr_loop_now_ns(proxy->parts.loop);

	if (!proxy->wall_offset_ns || now_ns - proxy->wall_checked_ns > WALL_CHECK_NS) {
		proxy->wall_offset_ns = thr_clock_wall_ns() - thr_clock_monotonic_ns();
		proxy->wall_checked_ns = now_ns;
	}
	return now_ns + proxy->wall_offset_ns;
}

const char *proxy_date(struct thr_proxy *proxy)
{
	uint64_t now_s = proxy_wall_ns(proxy) / THR_NS_PER_S;

	if (now_s != proxy->date_s) {
		proxy->date_s = now_s;
		thr_http_date_format(now_s, proxy->date);
	}
	return proxy->date;
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

/* --- listeners --------------------------------------------------------------------- */

static void stop_accepting(struct thr_proxy *proxy)
{
	for (unsigned int i = 0; i < proxy->parts.workers && proxy->accepting; i++)
		if (proxy->listeners[i].io.fd >= 0)
			thr_loop_forget(proxy->parts.loop, &proxy->listeners[i].io);
	proxy->accepting = false;
}

static void resume_accepting(struct thr_proxy *proxy)
{
	if (proxy->accepting || proxy->draining)
		return;
	proxy->accepting = true;
	for (unsigned int i = 0; i < proxy->parts.workers; i++)
		if (proxy->listeners[i].io.fd >= 0)
			thr_loop_watch_level(proxy->parts.loop, &proxy->listeners[i].io, EPOLLIN);
}

static void on_accept_timer(struct thr_timer *timer)
{
	resume_accepting(THR_CONTAINER(timer, struct thr_proxy, accept_timer));
}

/* The connection that has been idle for longest, of the next ones in a row: what
 * ordering all of them would cost with each request is not worth the difference. */
static struct session *find_idle(struct thr_proxy *proxy)
{
	struct session *found = NULL;

	for (size_t i = 0; i < IDLE_LOOKS && i < proxy->session_count; i++) {
		struct session *session = THR_CONTAINER(proxy->sessions.next, struct session, item);

		thr_link_remove(&session->item);
		thr_link_add_last(&proxy->sessions, &session->item);
		if (session->wait == WAIT_IDLE &&
		    (!found || session->timer.due_ms < found->timer.due_ms))
			found = session;
	}
	return found;
}

static void tell_of_being_full(struct thr_proxy *proxy)
{
	uint64_t now_ms = thr_loop_now_ms(proxy->parts.loop);

	if (proxy->full_told_ms && now_ms - proxy->full_told_ms < TELL_EVERY_MS)
		return;
	proxy->full_told_ms = now_ms;
	thr_log(THR_LOG_WARNING,
		"%zu connections, all of them in use: new ones wait; raise server.max_connections "
		"or the limit of open files",
		proxy->session_count);
}

/* Make room for one connection more: an idle one goes. When there is none, accepting
 * waits. */
static bool make_room(struct thr_proxy *proxy)
{
	struct session *idle;

	if (proxy->session_count < proxy->session_max)
		return true;
	idle = find_idle(proxy);
	if (idle)
		session_close(idle);
	else
		tell_of_being_full(proxy);
	return idle;
}

static void on_connections(struct thr_io *io, uint32_t events)
{
	struct listener *listener = THR_CONTAINER(io, struct listener, io);
	struct thr_proxy *proxy = listener->proxy;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage from = {0};
		socklen_t length = sizeof(from);
		struct thr_address peer;
		int fd;

		/* That somebody waits is only known when the turn begins: for him alone one
		 * goes. */
		if (i && proxy->session_count >= proxy->session_max)
			return;
		if (!make_room(proxy)) {
			stop_accepting(proxy);
			thr_loop_arm(proxy->parts.loop, &proxy->accept_timer, ACCEPT_RETRY_MS);
			return;
		}
		fd = accept4(io->fd, (struct sockaddr *)&from, &length,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 &&
		    (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
			stop_accepting(proxy);
			thr_loop_arm(proxy->parts.loop, &proxy->accept_timer, ACCEPT_RETRY_MS);
			return;
		}
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0)
			continue; /* that connection is gone already: accept(2) */
		proxy->parts.counts->connections++;
		thr_address_from_sockaddr((struct sockaddr *)&from, &peer);
		session_new(proxy, fd, &peer);
	}
}

void proxy_session_closed(struct thr_proxy *proxy)
{
	proxy->session_count--;
	proxy->parts.counts->open_connections = proxy->session_count;
	if (!proxy->accepting && proxy->session_count < proxy->session_max &&
	    !proxy->accept_timer.due_ms)
		thr_loop_arm(proxy->parts.loop, &proxy->accept_timer, 1);
}

int thr_proxy_listen(struct thr_proxy *proxy, unsigned int slot, int fd)
{
	struct listener *listener = &proxy->listeners[slot];

	thr_proxy_unlisten(proxy, slot);
	listener->io.fd = fd;
	if (proxy->draining || !proxy->accepting)
		return 0;
	return thr_loop_watch_level(proxy->parts.loop, &listener->io, EPOLLIN);
}

void thr_proxy_unlisten(struct thr_proxy *proxy, unsigned int slot)
{
	struct listener *listener = &proxy->listeners[slot];

	if (listener->io.fd < 0)
		return;
	if (proxy->accepting)
		thr_loop_forget(proxy->parts.loop, &listener->io);
	close(listener->io.fd);
	listener->io.fd = -1;
}

/* --- the proxy --------------------------------------------------------------------- */

int thr_proxy_new(const struct thr_proxy_parts *parts, struct thr_proxy **ret_proxy,
		  struct thr_error *error)
{
	struct thr_proxy *proxy = calloc(1, sizeof(*proxy));
	int r = proxy ? 0 : -ENOMEM;

	if (r == 0) {
		proxy->parts = *parts;
		proxy->accepting = true;
		proxy->accept_timer.fire = on_accept_timer;
		proxy->other_counts = thr_route_counts_of(parts->route_counts, parts->worker, 0);
		thr_link_init(&proxy->sessions);
		thr_link_init(&proxy->spare);
		proxy->listeners = calloc(parts->workers, sizeof(*proxy->listeners));
		r = proxy->listeners ? 0 : -ENOMEM;
	}
	for (unsigned int i = 0; r == 0 && i < parts->workers; i++)
		proxy->listeners[i] = (struct listener){{-1, on_connections}, proxy};
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
	proxy->session_max = session_limit(&config->server, workers);
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
	for (unsigned int i = 0; i < proxy->parts.workers; i++)
		thr_proxy_unlisten(proxy, i);
	proxy->draining = true;
	/* What a client has sent already is still answered. */
	for (item = proxy->sessions.next; item != &proxy->sessions; item = next) {
		struct session *session = THR_CONTAINER(item, struct session, item);

		next = item->next;
		if (session->wait != WAIT_IDLE && session->used)
			continue;
		session->readable = true;
		session_drain(session);
	}
	for (size_t i = 0; i < ENDPOINT_BUCKETS; i++)
		for (struct endpoint *at = proxy->endpoints[i]; at; at = at->next)
			endpoint_close_idle(at);
}

size_t thr_proxy_busy(const struct thr_proxy *proxy)
{
	return proxy->session_count;
}

void thr_proxy_free(struct thr_proxy *proxy)
{
	if (!proxy)
		return;
	for (unsigned int i = 0; proxy->listeners && i < proxy->parts.workers; i++)
		if (proxy->listeners[i].proxy)
			thr_proxy_unlisten(proxy, i);
	proxy->draining = true;
	while (proxy->sessions.next && !thr_link_is_empty(&proxy->sessions))
		session_close(THR_CONTAINER(proxy->sessions.next, struct session, item));
	if (proxy->generation)
		checks_stop(proxy->generation);
	/* What was put off to the end of the turn still points here. */
	thr_loop_turn(proxy->parts.loop, 0);
	generation_put(proxy->generation);
	thr_loop_disarm(proxy->parts.loop, &proxy->accept_timer);
	thr_loop_turn(proxy->parts.loop, 0);
	if (proxy->spare.next)
		exchange_free_spare(proxy);
	free(proxy->spare_asking);
	free(proxy->listeners);
	free(proxy);
}
