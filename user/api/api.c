/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The API as its daemon sees it; see api.h. */
#include "api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "api/internal.h"

#define CONNECTIONS_MAX 16384 /* of all workers together */

_Static_assert(THR_HEADER_BYTES_MAX <= SCRATCH, "a head fits the scratch memory");
_Static_assert(THR_HEADERS_MAX <= THR_HTTP_FIELDS_MAX, "the parser holds all fields");

const char *api_date(struct thr_api *api)
{
	return thr_wall_date(&api->wall, thr_loop_now_ns(api->parts.loop));
}

/* --- connections ---------------------------------------------------------------------- */

static struct thr_api *api_of(struct thr_acceptor *acceptor)
{
	return THR_CONTAINER(acceptor, struct thr_api, acceptor);
}

static struct client *client_of(const struct thr_link *item)
{
	return THR_CONTAINER(item, struct client, item);
}

static void on_connection(struct thr_acceptor *acceptor, int fd, const struct thr_address *peer)
{
	struct thr_api *api = api_of(acceptor);

	api->parts.counts->connections++;
	client_new(api, fd, peer);
}

static uint64_t idle_until_ms(const struct thr_link *item)
{
	const struct client *client = client_of(item);

	return client->wait == WAIT_IDLE ? client->timer.due_ms : 0;
}

static void close_connection(struct thr_link *item)
{
	client_close(client_of(item));
}

static const struct thr_acceptor_use acceptor_use = {
	.accept = on_connection,
	.idle_until_ms = idle_until_ms,
	.close = close_connection,
};

int thr_api_listen(struct thr_api *api, unsigned int slot, int fd)
{
	return thr_acceptor_listen(&api->acceptor, slot, fd);
}

void thr_api_unlisten(struct thr_api *api, unsigned int slot)
{
	thr_acceptor_unlisten(&api->acceptor, slot);
}

/* --- the API ------------------------------------------------------------------------- */

int thr_api_new(const struct thr_api_parts *parts, struct thr_api **ret_api,
		struct thr_error *error)
{
	struct thr_api *api = calloc(1, sizeof(*api));
	int r = api ? 0 : -ENOMEM;

	if (r == 0) {
		api->parts = *parts;
		events_begin(api);
		r = thr_acceptor_init(&api->acceptor, parts->loop, parts->workers, &acceptor_use);
	}
	if (r == 0)
		r = access_new(api);
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
	api->acceptor.max = client_limit(api->parts.workers);
	api->configured = true;
	return 0;
}

void thr_api_drain(struct thr_api *api)
{
	struct thr_link *item, *next;

	if (api->draining)
		return;
	thr_acceptor_stop(&api->acceptor);
	events_end(api);
	api->draining = true;
	/* What a client has sent already is still answered. */
	for (item = api->acceptor.connections.next; item != &api->acceptor.connections;
	     item = next) {
		struct client *client = client_of(item);

		next = item->next;
		if (client->wait != WAIT_IDLE && client->used)
			continue;
		client->stream.readable = true;
		client_drain(client);
	}
}

size_t thr_api_busy(const struct thr_api *api)
{
	return api->acceptor.count;
}

void thr_api_free(struct thr_api *api)
{
	if (!api)
		return;
	api->draining = true;
	thr_acceptor_clear(&api->acceptor);
	events_end(api);
	/* What was put off to the end of the turn still points here; what is put off once more
	 * then, to the next. */
	thr_loop_turn(api->parts.loop, 0);
	thr_loop_turn(api->parts.loop, 0);
	access_free(api);
	free(api);
}
