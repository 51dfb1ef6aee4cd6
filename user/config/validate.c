/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both sides are validated by, and the file as a whole; see validate.h. */
#include "config/validate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int thr_finish_rate(const struct thr_reader *reader, const struct thr_node *map,
		    const char *burst_key, uint64_t least, struct thr_rate *rate)
{
	const struct thr_node *burst = thr_node_find(map, burst_key);

	thr_rate_default_burst(rate, least);
	switch (thr_rate_check(rate)) {
	case 0:
		return 0;
	case -EDOM:
		return thr_refuse(reader, burst ? burst : map,
				  "%s of %" PRIu64 " is less than a bucket can measure at this "
				  "rate: write one second's worth or more",
				  burst_key, rate->burst);
	default:
		return thr_refuse(reader, burst ? burst : map,
				  "%s of %" PRIu64 " would take over 416 days to come back: write "
				  "a smaller one",
				  burst_key, rate->burst);
	}
}

static int compare_names(const void *a, const void *b)
{
	const struct thr_named *left = a, *right = b;
	int order = strcmp(left->text, right->text);

	if (!order)
		order = (left->node->place.line > right->node->place.line) -
			(left->node->place.line < right->node->place.line);
	if (!order)
		order = (left->node->place.column > right->node->place.column) -
			(left->node->place.column < right->node->place.column);
	return order;
}

int thr_refuse_twice(const struct thr_reader *reader, struct thr_named *names, size_t count,
		     const char *noun)
{
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 1; i < count; i++)
		if (strcmp(names[i - 1].text, names[i].text) == 0)
			return thr_refuse(reader, names[i].node,
					  "%s %s is given %s already: write it once", noun,
					  QUOTE(names[i].text), ORIGIN(names[i - 1].node));
	return 0;
}

/* Where both are asked for: a file that says nothing of the API may have its port. */
static int check_ports(const struct thr_reader *reader, const struct thr_node *file,
		       const struct thr_config *config)
{
	const struct thr_node *api = thr_node_find(file, "api");
	const struct thr_node *server = thr_node_find(file, "server");
	const struct thr_node *node = api ? thr_node_find(api, "listen") : NULL;

	if (!config->route_count || !config->api.present ||
	    !thr_listen_overlaps(config->api.listen, config->server.address, config->server.port))
		return 0;
	if (!node && server)
		node = thr_node_find(server, "port");
	return thr_refuse(reader, node ? node : file,
			  "server.port and api.listen are both on port %u: write two different "
			  "ports",
			  config->server.port);
}

/* Clients are blocked where their packets come in. */
static int check_block(const struct thr_reader *reader, const struct thr_node *file,
		       const struct thr_config *config)
{
	const struct thr_node *limit = thr_node_find(file, "rate_limit");
	const struct thr_node *node = limit ? thr_node_find(limit, "block") : NULL;

	if (!config->block.refusals.count || config->xdp.interface_count)
		return 0;
	return thr_refuse_key(reader, node ? node : file,
			      "rate_limit.block needs the packet layer: write xdp.interfaces, or "
			      "leave block out");
}

/* `around` is what has, or does not have, the limit. */
static void default_on_error(const struct thr_node *around, enum thr_on_error on_error,
			     struct thr_client_limit *limit)
{
	const struct thr_node *map = thr_node_find(around, "rate_limit");

	if (!map || !thr_node_find(map, "on_error"))
		limit->on_error = on_error;
}

static void default_on_errors(const struct thr_node *file, struct thr_config *config)
{
	const struct thr_node *routes = thr_node_find(file, "routes");
	const struct thr_node *node = routes ? routes->first : NULL;

	default_on_error(file, config->store.on_error, &config->rate_limit);
	for (size_t i = 0; node; i++, node = node->next)
		default_on_error(node, config->store.on_error, &config->routes[i].rate_limit);
}

int thr_finish_file(const struct thr_reader *reader, const struct thr_node *file, void *into)
{
	struct thr_config *config = into;
	int r;

	if (!config->route_count && !config->xdp.present && !config->api.present)
		return thr_refuse(reader, file,
				  "nothing to do: write routes for the proxy, xdp for the packet "
				  "layer or api for checks");
	if (!config->server.user)
		config->server.user = strdup("nobody");
	if (!config->server.user)
		return thr_refuse_memory(reader);
	r = thr_default_api(reader, &config->api);
	if (r == 0)
		r = thr_default_store(reader, &config->store);
	if (r < 0)
		return r;
	default_on_errors(file, config);
	r = check_block(reader, file, config);
	return r ? r : check_ports(reader, file, config);
}
