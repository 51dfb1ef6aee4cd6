/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What clients connect to, from one configuration to the next: the proxy and the API, each
 * at an address of its own, with a listener for each worker. A front that moves has both
 * its listeners and those of before until every worker has the new ones.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "daemon/listener.h"
#include "daemon/master.h"

bool thr_front_find(const struct thr_master *master, const struct thr_config *config,
		    enum thr_front front, struct thr_endpoint *ret_endpoint)
{
	struct thr_endpoint endpoint = {.group = (gid_t)-1};

	if (front == THR_FRONT_PROXY) {
		endpoint.address = config->server.address;
		endpoint.port = config->server.port;
		endpoint.address_key = "server.address";
		endpoint.port_key = "server.port";
	} else {
		endpoint.address = config->api.address;
		endpoint.port = config->api.port;
		endpoint.path = config->api.address ? NULL : config->api.listen;
		endpoint.address_key = endpoint.port_key = "api.listen";
		if (master->run_as.change)
			endpoint.group = master->run_as.gid;
	}
	*ret_endpoint = endpoint;
	return front == THR_FRONT_PROXY ? config->route_count > 0 : config->api.present;
}

/* --- new ones --- */

static int *fds_of(const struct thr_master *master, const struct thr_new_fronts *fronts,
		   unsigned int front)
{
	return fronts->fds + (size_t)front * master->worker_count;
}

static int open_front(const struct thr_master *master, const struct thr_config *old,
		      const struct thr_endpoint *endpoint, unsigned int front,
		      struct thr_new_fronts *fronts, struct thr_error *error)
{
	struct thr_endpoint before;
	bool shared = old && thr_front_find(master, old, front, &before) &&
		      thr_listeners_collide(&before, endpoint);
	int r = thr_listeners_open(endpoint, shared, fds_of(master, fronts, front),
				   master->worker_count, error);

	if (!r && endpoint->path)
		thr_socket_file_note(endpoint->path, &fronts->file[front]);
	return r;
}

/* Whether it is served elsewhere than before. */
static bool moves(const struct thr_master *master, const struct thr_config *old,
		  const struct thr_config *config, unsigned int front)
{
	struct thr_endpoint before, after;
	bool was = old && thr_front_find(master, old, front, &before);
	bool is = thr_front_find(master, config, front, &after);

	return was != is || (is && !thr_endpoint_is(&before, &after));
}

int thr_fronts_open(const struct thr_master *master, const struct thr_config *old,
		    const struct thr_config *config, struct thr_new_fronts *ret_fronts,
		    struct thr_error *error)
{
	size_t count = (size_t)master->worker_count * THR_FRONTS;
	struct thr_new_fronts fronts = {.fds = malloc(count * sizeof(int))};
	struct thr_endpoint endpoint;
	int r = 0;

	if (!fronts.fds)
		return thr_fail(error, ENOMEM, "%s", strerror(ENOMEM));
	memset(fronts.fds, -1, count * sizeof(int));
	for (unsigned int i = 0; i < THR_FRONTS && !r; i++) {
		fronts.moves[i] = moves(master, old, config, i);
		if (fronts.moves[i] && thr_front_find(master, config, i, &endpoint))
			r = open_front(master, old, &endpoint, i, &fronts, error);
	}
	if (r)
		thr_fronts_drop(master, &fronts);
	else
		*ret_fronts = fronts;
	return r;
}

void thr_fronts_drop(const struct thr_master *master, struct thr_new_fronts *fronts)
{
	for (unsigned int i = 0; fronts->fds && i < THR_FRONTS; i++) {
		thr_listeners_close(fds_of(master, fronts, i), master->worker_count);
		thr_socket_file_remove(&fronts->file[i]);
	}
	free(TAKE_PTR(fronts->fds));
}

/* --- those in force --- */

static void put_front(struct thr_master *master, const struct thr_new_fronts *fronts,
		      unsigned int front)
{
	const int *fds = fds_of(master, fronts, front);

	for (unsigned int i = 0; i < master->worker_count; i++) {
		master->slots[i].retired[front] = master->slots[i].listener[front];
		master->slots[i].listener[front] = fds[i];
	}
	master->retired_file[front] = master->file[front];
	master->file[front] = fronts->file[front];
}

void thr_fronts_put(struct thr_master *master, struct thr_new_fronts *fronts)
{
	for (unsigned int i = 0; i < THR_FRONTS; i++) {
		if (!fronts->moves[i])
			continue;
		thr_slots_recall(master, i);
		put_front(master, fronts, i);
	}
	free(TAKE_PTR(fronts->fds));
}

void thr_fronts_retire(struct thr_master *master)
{
	for (unsigned int i = 0; i < master->worker_count; i++)
		thr_listeners_close(master->slots[i].retired, THR_FRONTS);
	for (unsigned int i = 0; i < THR_FRONTS; i++)
		thr_socket_file_remove(&master->retired_file[i]);
}

void thr_fronts_close(struct thr_master *master)
{
	thr_fronts_retire(master);
	for (unsigned int i = 0; i < master->worker_count; i++)
		thr_listeners_close(master->slots[i].listener, THR_FRONTS);
	for (unsigned int i = 0; i < THR_FRONTS; i++)
		thr_socket_file_remove(&master->file[i]);
}
