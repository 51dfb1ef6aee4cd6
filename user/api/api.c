/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The API as its daemon sees it, and its listeners; see api.h. */
#include "api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/internal.h"

#define CONNECTIONS_MAX 16384 /* of all workers together */
#define ACCEPTS_A_TURN 64     /* before connections that are open get their turn */
#define ACCEPT_RETRY_MS 100
#define IDLE_LOOKS 64		   /* at connections, for one to close when there are too many */
#define WALL_CHECK_NS THR_NS_PER_S /* how often the wall clock may step unnoticed */

_Static_assert(THR_HEADER_BYTES_MAX <= SCRATCH, "a head fits the scratch memory");
_Static_assert(THR_HEADERS_MAX <= THR_HTTP_FIELDS_MAX, "the parser holds all fields");

const char *api_date(struct thr_api *api)
{
	uint64_t now_ns = thr_loop_now_ns(api->parts.loop), now_s;

	if (!api->wall_offset_ns || now_ns - api->wall_checked_ns > WALL_CHECK_NS) {
		api->wall_offset_ns = thr_clock_wall_ns() - thr_clock_monotonic_ns();
		api->wall_checked_ns = now_ns;
	}
	now_s = (now_ns + api->wall_offset_ns) / THR_NS_PER_S;
	if (now_s != api->date_s) {
		api->date_s = now_s;
		thr_http_date_format(now_s, api->date);
	}
	return api->date;
}

/* --- listeners ----------------------------------------------------------------------- */

static void stop_accepting(struct thr_api *api)
{
	for (unsigned int i = 0; i < api->parts.workers && api->accepting; i++)
		if (api->listeners[i].io.fd >= 0)
			thr_loop_forget(api->parts.loop, &api->listeners[i].io);
	api->accepting = false;
	thr_loop_arm(api->parts.loop, &api->accept_timer, ACCEPT_RETRY_MS);
}

static void on_accept_timer(struct thr_timer *timer)
{
	struct thr_api *api = THR_CONTAINER(timer, struct thr_api, accept_timer);

	if (api->accepting || api->draining)
		return;
	api->accepting = true;
	for (unsigned int i = 0; i < api->parts.workers; i++)
		if (api->listeners[i].io.fd >= 0)
			thr_loop_watch_level(api->parts.loop, &api->listeners[i].io, EPOLLIN);
}

/* Make room for one connection more: of the next ones in a row, the one that has been idle for
 * longest goes. When none is, accepting waits. */
static bool make_room(struct thr_api *api)
{
	struct client *found = NULL;

	if (api->client_count < api->client_max)
		return true;
	for (size_t i = 0; i < IDLE_LOOKS && i < api->client_count; i++) {
		struct client *client = THR_CONTAINER(api->clients.next, struct client, item);

		thr_link_remove(&client->item);
		thr_link_add_last(&api->clients, &client->item);
		if (client->wait == WAIT_IDLE &&
		    (!found || client->timer.due_ms < found->timer.due_ms))
			found = client;
	}
	if (found)
		client_close(found);
	return found;
}

/* Whether accept4() failed for want of what other connections hold. */
static bool is_shortage(int code)
{
	return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

/* Whether it failed because the listener was shut, which a worker that is out of control can
 * do to one that it shares: nobody will ever come by it. */
static bool is_shut(int code, uint32_t events)
{
	return code == EINVAL || (code == EAGAIN && events & EPOLLHUP);
}

static void on_connections(struct thr_io *io, uint32_t events)
{
	struct thr_api *api = THR_CONTAINER(io, struct listener, io)->api;

	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage from = {0};
		socklen_t length = sizeof(from);
		struct thr_address peer;
		int fd;

		/* That somebody waits is only known when the turn begins: for him alone one goes.
		 */
		if (i && api->client_count >= api->client_max)
			return;
		if (!make_room(api)) {
			stop_accepting(api);
			return;
		}
		fd = accept4(io->fd, (struct sockaddr *)&from, &length,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && is_shortage(errno)) {
			stop_accepting(api);
			return;
		}
		if (fd < 0 && is_shut(errno, events)) {
			thr_loop_forget(api->parts.loop, io);
			return;
		}
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0)
			continue; /* that connection is gone already: accept(2) */
		api->parts.counts->connections++;
		thr_address_from_sockaddr((struct sockaddr *)&from, &peer);
		client_new(api, fd, &peer);
	}
}

void api_client_closed(struct thr_api *api)
{
	api->parts.counts->open_connections = --api->client_count;
}

int thr_api_listen(struct thr_api *api, unsigned int slot, int fd)
{
	struct listener *listener = &api->listeners[slot];

	thr_api_unlisten(api, slot);
	listener->io.fd = fd;
	if (api->draining || !api->accepting)
		return 0;
	return thr_loop_watch_level(api->parts.loop, &listener->io, EPOLLIN);
}

void thr_api_unlisten(struct thr_api *api, unsigned int slot)
{
	struct listener *listener = &api->listeners[slot];

	if (listener->io.fd < 0)
		return;
	if (api->accepting)
		thr_loop_forget(api->parts.loop, &listener->io);
	close(listener->io.fd);
	listener->io.fd = -1;
}

/* --- the API ------------------------------------------------------------------------- */

int thr_api_new(const struct thr_api_parts *parts, struct thr_api **ret_api,
		struct thr_error *error)
{
	struct thr_api *api = calloc(1, sizeof(*api));
	int r = api ? 0 : -ENOMEM;

	if (r == 0) {
		api->parts = *parts;
		api->accepting = true;
		api->accept_timer.fire = on_accept_timer;
		thr_link_init(&api->clients);
		api->listeners = calloc(parts->workers, sizeof(*api->listeners));
		r = api->listeners ? access_new(api) : -ENOMEM;
	}
	for (unsigned int i = 0; api && api->listeners && i < parts->workers; i++)
		api->listeners[i] = (struct listener){{-1, on_connections}, api};
	if (r < 0) {
		thr_api_free(api);
		return thr_fail(error, -r, "the API cannot start: %s", strerror(-r));
	}
	*ret_api = api;
	return 0;
}

/* A worker's share of the connections; fewer when that is much of its descriptors, which are
 * the proxy's first of all. */
uint64_t thr_api_share(unsigned int workers, uint64_t files)
{
	uint64_t share = (CONNECTIONS_MAX + workers - 1) / workers;

	return share < files / 8 ? share : files / 8;
}

static size_t client_limit(unsigned int workers)
{
	struct rlimit limit;
	uint64_t share;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		limit.rlim_cur = RLIM_INFINITY;
	share = thr_api_share(workers, limit.rlim_cur);
	return share ? share : 1;
}

int thr_api_configure(struct thr_api *api, const struct thr_config *config, const uint8_t *token,
		      struct thr_error *error)
{
	const struct thr_server_config *server = &config->server;
	struct settings settings = {
		.limits = {server->max_request_line, server->max_header_bytes, server->max_headers},
		.header_timeout_ms = server->header_timeout_ms,
		.idle_timeout_ms = server->idle_timeout_ms,
		.body_timeout_ms = server->body_timeout_ms,
		.limited = config->api.rate_limit.count > 0,
		.on_error = config->store.on_error,
		.has_token = token != NULL,
	};

	(void)error; /* nothing of it can fail */
	if (settings.limited)
		settings.limit = thr_store_limit_of(&config->api.rate_limit);
	if (token)
		memcpy(settings.token, token, sizeof(settings.token));
	api->settings = settings;
	api->client_max = client_limit(api->parts.workers);
	api->configured = true;
	return 0;
}

void thr_api_drain(struct thr_api *api)
{
	struct thr_link *item, *next;

	if (api->draining)
		return;
	for (unsigned int i = 0; i < api->parts.workers; i++)
		thr_api_unlisten(api, i);
	api->draining = true;
	/* What a client has sent already is still answered. */
	for (item = api->clients.next; item != &api->clients; item = next) {
		struct client *client = THR_CONTAINER(item, struct client, item);

		next = item->next;
		if (client->wait != WAIT_IDLE && client->used)
			continue;
		client->readable = true;
		client_drain(client);
	}
}

size_t thr_api_busy(const struct thr_api *api)
{
	return api->client_count;
}

void thr_api_free(struct thr_api *api)
{
	if (!api)
		return;
	for (unsigned int i = 0; api->listeners && i < api->parts.workers; i++)
		thr_api_unlisten(api, i);
	api->draining = true;
	while (!thr_link_is_empty(&api->clients))
		client_close(THR_CONTAINER(api->clients.next, struct client, item));
	thr_loop_disarm(api->parts.loop, &api->accept_timer);
	/* What was put off to the end of the turn still points here; what is put off once more
	 * then, to the next. */
	thr_loop_turn(api->parts.loop, 0);
	thr_loop_turn(api->parts.loop, 0);
	access_free(api);
	free(api->listeners);
	free(api);
}
