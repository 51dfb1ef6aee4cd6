/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the schema's tables cannot say of the HTTP side; see validate.h. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/validate.h"
#include "core/cleanup.h"
#include "core/duration.h"

#define PATH_BYTES_MAX 1024

int thr_finish_server(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_server_config *server = into;
	const struct thr_node *line = thr_node_find(map, "max_request_line");

	if (server->max_request_line <= server->max_header_bytes)
		return 0;
	if (line)
		return thr_refuse(reader, line,
				  "max_request_line of %" PRIu64 " is above max_header_bytes of "
				  "%" PRIu64 ", of which it is a part: write at most that",
				  server->max_request_line, server->max_header_bytes);
	server->max_request_line = server->max_header_bytes;
	return 0;
}

const char *thr_user_fault(const char *text)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("-_.", *text))
			return "write the name of a user, of letters, digits, '-', '_' and '.'";
	return NULL;
}

int thr_finish_rate_limit(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_rate *rate = into;

	if (!rate->count)
		return thr_refuse_key(reader, map,
				      "no rate: write requests_per_second or requests_per_minute");
	return thr_finish_rate(reader, map, "burst", 1, rate);
}

int thr_finish_client_limit(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	return thr_finish_rate_limit(reader, map, &((struct thr_client_limit *)into)->rate);
}

/* Routes alone may have limits, whose refusals block. */
int thr_finish_limit(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_config *config = into;

	if (!config->rate_limit.rate.count && config->block.refusals.count &&
	    !thr_node_find(map, "burst") && !thr_node_find(map, "on_error"))
		return 0;
	return thr_finish_client_limit(reader, map, &config->rate_limit);
}

/* A bucket of a minute's worth: what is beyond the rate empties it. */
int thr_finish_block(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_block_config *block = &((struct thr_config *)into)->block;

	block->refusals.burst = block->refusals.count;
	if (!block->for_ms)
		block->for_ms = THR_BLOCK_MS;
	return thr_finish_rate(reader, map, "refusals_per_minute", 1, &block->refusals);
}

/* What routes and health checks ask of a path alike. */
static const char *request_path_fault(const char *text)
{
	if (text[0] != '/')
		return "write a path that starts with '/'";
	if (strlen(text) > PATH_BYTES_MAX)
		return "write at most 1024 bytes";
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return "write printable ASCII without spaces, percent-encode the rest";
	return NULL;
}

const char *thr_path_fault(const char *text)
{
	if (strchr(text, '*'))
		return "paths are prefixes: write /api, which matches all below it";
	if (strpbrk(text, "?#"))
		return "write the path only, without a query or a fragment";
	if (strstr(text, "//"))
		return "write one slash between two parts";
	return request_path_fault(text);
}

const char *thr_health_path_fault(const char *text)
{
	return strchr(text, '#') ? "write it without a fragment" : request_path_fault(text);
}

int thr_finish_health(const struct thr_reader *reader, const struct thr_node *map, void *into)
{
	struct thr_health_config *health = into;
	char timeout[THR_DURATION_TEXT], interval[THR_DURATION_TEXT];

	if (!health->path)
		health->path = strdup("/");
	if (!health->path)
		return thr_refuse_memory(reader);
	if (!health->interval_ms)
		health->interval_ms = 5000;
	if (!health->timeout_ms)
		health->timeout_ms = health->interval_ms < 2000 ? health->interval_ms : 2000;
	if (!health->healthy)
		health->healthy = 2;
	if (!health->unhealthy)
		health->unhealthy = 3;
	if (health->timeout_ms <= health->interval_ms)
		return 0;

	thr_duration_format(health->timeout_ms, timeout);
	thr_duration_format(health->interval_ms, interval);
	return thr_refuse(reader, thr_node_find(map, "timeout"),
			  "timeout of %s is above the interval of %s: write at most that", timeout,
			  interval);
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
