/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the schema's tables cannot say of the HTTP side; see validate.h. */
#include <stdlib.h>
#include <string.h>

#include "config/validate.h"
#include "core/cleanup.h"

int thr_finish_rate_limit(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_rate *rate = into;

	if (!rate->count)
		return thr_refuse_key(reader, map,
				      "no rate: write requests_per_second or requests_per_minute");
	return thr_finish_rate(reader, map, "burst", 1, rate);
}

const char *thr_path_fault(const char *text)
{
	if (text[0] != '/')
		return "write a path that starts with '/'";
	for (; *text; text++) {
		if (*text == '?' || *text == '#')
			return "write the path only, without a query or a fragment";
		if (*text <= ' ' || *text > '~')
			return "write printable ASCII without spaces, percent-encode the rest";
		if (text[0] == '/' && text[1] == '/')
			return "write one slash between two parts";
	}
	return NULL;
}

int thr_finish_route(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_route_config *route = into;
	size_t length = strlen(route->path);

	if (length > 1 && route->path[length - 1] == '/')
		route->path[length - 1] = '\0';
	if (!route->target_count)
		return thr_refuse_key(
			reader, map, "no target: write one, such as target: http://127.0.0.1:8000");
	return 0;
}

int thr_finish_routes(const struct thr_reader *reader, const struct thr_node *list, void *into)
{
	const struct thr_config *config = into;
	const struct thr_node *node = list->first;
	AUTO_FREE struct thr_named *names = calloc(config->route_count, sizeof(*names));

	if (!names)
		return thr_refuse_memory(reader);
	for (size_t i = 0; i < config->route_count; i++, node = node->next)
		names[i] = (struct thr_named){config->routes[i].path, thr_node_find(node, "path")};
	return thr_refuse_twice(reader, names, config->route_count, "path");
}
