/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as a configuration file: what comes out holds what config.h
 * promises, or is refused in one line. Strings after a first NUL byte are the
 * environment, as NAME=VALUE without XDP_THROTTLE_.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "core/duration.h"
#include "fuzz/holds.h"

#define NAME "fuzz.yaml"
#define VARIABLES_MAX 4
#define VARIABLE_SIZE 128

static void check_rate(const struct thr_rate *rate)
{
	if (rate->count)
		HOLDS(thr_rate_check(rate) == 0);
	else
		HOLDS(!rate->burst);
}

static void check_limits(const struct thr_limits *limits, bool needed)
{
	bool any = false;

	for (int kind = 0; kind < THR_KINDS; kind++) {
		check_rate(&limits->kind[kind]);
		any |= limits->kind[kind].count != 0;
	}
	HOLDS(any || !needed);
	if (limits->kind[THR_BYTES].count)
		HOLDS(limits->kind[THR_BYTES].burst >= 1514);
}

static void check_prefix(const struct thr_prefix *prefix)
{
	char text[THR_PREFIX_TEXT];
	struct thr_prefix again;
	const char *why;

	thr_prefix_format(prefix, text);
	HOLDS(thr_prefix_parse(text, &again, &why) == 0);
	HOLDS(thr_prefix_compare(prefix, &again) == 0);
}

static void check_services(const struct thr_tables *tables)
{
	static bool taken[UINT16_MAX + 1];

	memset(taken, 0, sizeof(taken));
	HOLDS(tables->service_count <= THR_SERVICES_MAX);
	for (size_t i = 0; i < tables->service_count; i++) {
		const struct thr_service_config *service = &tables->services[i];

		HOLDS(*service->name && strlen(service->name) < 32);
		for (size_t j = 0; j < i; j++)
			HOLDS(strcmp(service->name, tables->services[j].name) != 0);
		HOLDS(service->port_count > 0);
		for (size_t j = 0; j < service->port_count; j++) {
			HOLDS(service->ports[j] && !taken[service->ports[j]]);
			HOLDS(!j || service->ports[j - 1] < service->ports[j]);
			taken[service->ports[j]] = true;
		}
		check_limits(&service->per_source, false);
		check_limits(&service->per_prefix, service->prefix_v4 || service->prefix_v6);
		check_rate(&service->new_sources);
		HOLDS(service->prefix_v4 <= 32 && service->prefix_v6 <= 128);
		HOLDS(service->on_overload <= THR_OVERLOAD_CHALLENGE);
	}
}

static void check_sources(const struct thr_tables *tables)
{
	for (size_t i = 0; i < tables->source_count; i++) {
		const struct thr_source_config *source = &tables->sources[i];

		check_prefix(&source->prefix);
		check_limits(&source->limits, source->action == THR_SOURCE_LIMIT);
		HOLDS(!i || thr_prefix_compare(&source[-1].prefix, &source->prefix) < 0);
		HOLDS(thr_tables_find_source(tables, &source->prefix) == source);
		if (source->action == THR_SOURCE_LIMIT)
			continue;
		HOLDS(!source->shared);
		for (int kind = 0; kind < THR_KINDS; kind++)
			HOLDS(!source->limits.kind[kind].count);
	}
}

static void check_size(const struct thr_size *size)
{
	HOLDS(!(size->entries & (size->entries - 1)) && size->entries <= 1U << 28);
	HOLDS(size->name ? size->entries >= 1024 : !size->entries);
}

static void check_xdp(const struct thr_xdp_config *xdp)
{
	for (size_t i = 0; i < xdp->interface_count; i++)
		HOLDS(*xdp->interfaces[i] && strlen(xdp->interfaces[i]) < 16);
	HOLDS(xdp->mode <= THR_MODE_OFFLOAD);
	HOLDS(xdp->tables.action == THR_ACTION_ENFORCE || xdp->tables.action == THR_ACTION_MONITOR);
	HOLDS(xdp->tables.v6_source_bits >= 1 && xdp->tables.v6_source_bits <= 128);
	check_limits(&xdp->tables.per_source, false);
	check_size(&xdp->tables.sizes.gate);
	check_size(&xdp->tables.sizes.exact);
	check_size(&xdp->tables.sizes.verified);
	check_size(&xdp->tables.sizes.blocked);
	check_services(&xdp->tables);
	check_sources(&xdp->tables);
}

static void check_duration(uint64_t ms)
{
	HOLDS(ms >= 1 && ms <= THR_DURATION_MAX_MS);
}

static void check_server(const struct thr_server_config *server)
{
	HOLDS(server->port && server->workers <= 256 && *server->user);
	HOLDS(!server->address || *server->address);
	HOLDS(server->max_connections >= 1);
	check_duration(server->header_timeout_ms);
	check_duration(server->idle_timeout_ms);
	check_duration(server->body_timeout_ms);
	check_duration(server->drain_timeout_ms);
	HOLDS(server->max_request_line <= server->max_header_bytes);
	HOLDS(server->max_header_bytes <= THR_HEADER_BYTES_MAX);
	HOLDS(server->max_headers >= 1 && server->max_headers <= THR_HEADERS_MAX);
}

static void check_upstream(const struct thr_upstream_config *upstream)
{
	check_duration(upstream->connect_timeout_ms);
	check_duration(upstream->response_timeout_ms);
	check_duration(upstream->idle_timeout_ms);
	check_duration(upstream->fail_timeout_ms);
	HOLDS(upstream->retries <= 7);
}

static void check_health(const struct thr_health_config *health)
{
	if (!health->path)
		return;
	HOLDS(health->path[0] == '/' && !strpbrk(health->path, " #\n"));
	check_duration(health->interval_ms);
	check_duration(health->timeout_ms);
	HOLDS(health->timeout_ms <= health->interval_ms);
	HOLDS(health->healthy && health->unhealthy);
}

/* One that states nothing asks for what the store says. */
static void check_limit(const struct thr_client_limit *limit, enum thr_on_error otherwise)
{
	check_rate(&limit->rate);
	HOLDS(limit->on_error <= THR_ON_ERROR_DENY);
	HOLDS(limit->rate.count || limit->on_error == otherwise);
}

static void check_routes(const struct thr_config *config)
{
	for (size_t i = 0; i < config->route_count; i++) {
		const struct thr_route_config *route = &config->routes[i];
		size_t length = strlen(route->path);

		HOLDS(route->path[0] == '/');
		HOLDS(length == 1 || route->path[length - 1] != '/');
		HOLDS(!strpbrk(route->path, " ?#\n"));
		for (size_t j = 0; j < i; j++)
			HOLDS(strcmp(route->path, config->routes[j].path) != 0);
		HOLDS(route->target_count > 0);
		for (size_t j = 0; j < route->target_count; j++)
			HOLDS(*route->targets[j].host && route->targets[j].port);
		check_limit(&route->rate_limit, config->store.on_error);
		HOLDS(route->balance <= THR_RANDOM);
		check_health(&route->health);
	}
}

static void check_file(const char *path)
{
	HOLDS(!path || (path[0] == '/' && path[strlen(path) - 1] != '/'));
}

static bool is_loopback(const char *text)
{
	struct in6_addr address;

	return strncmp(text, "127.", 4) == 0 ||
	       (inet_pton(AF_INET6, text, &address) == 1 && IN6_IS_ADDR_LOOPBACK(&address));
}

static void check_api(const struct thr_api_config *api)
{
	bool local = api->listen[0] == '/' || is_loopback(api->address);

	HOLDS(api->listen[0] == '/' ? !api->address && strlen(api->listen) <= 107
				    : *api->address && api->port);
	HOLDS(local || !api->present || (api->token_file && api->rate_limit.count));
	check_file(api->token_file);
	check_rate(&api->rate_limit);
	HOLDS(api->max_configs >= 1 && api->max_configs <= 1000000);
	HOLDS(thr_refill_check(api->default_refill_per_s, api->default_capacity) == 0);
}

static void check_store(const struct thr_store_config *store)
{
	const struct thr_redis_config *redis = &store->redis;

	HOLDS(store->backend <= THR_BACKEND_REDIS && store->on_error <= THR_ON_ERROR_DENY);
	HOLDS(store->max_keys >= 1);
	HOLDS(*store->state_file);
	check_file(store->state_file);
	HOLDS(*redis->url && !redis->host != !redis->socket && redis->port);
	HOLDS(!redis->host || (*redis->host && strlen(redis->host) < 256));
	HOLDS(!redis->socket || (redis->socket[0] == '/' && strlen(redis->socket) <= 107));
	HOLDS(!redis->user || redis->password || redis->password_file);
	HOLDS(!redis->password || !redis->password_file);
	HOLDS(!redis->cert_file == !redis->key_file);
	HOLDS(redis->tls || (!redis->ca_file && !redis->cert_file));
	HOLDS(*redis->key_prefix && !strpbrk(redis->key_prefix, "{} "));
	HOLDS(redis->deadline_ms >= 20 && redis->deadline_ms <= 10000);
	HOLDS(redis->lease <= 1000000 && redis->failures >= 1);
}

static void check_config(const struct thr_config *config)
{
	HOLDS(config->route_count || config->xdp.present || config->api.present);
	check_server(&config->server);
	check_upstream(&config->upstream);
	check_api(&config->api);
	check_store(&config->store);
	HOLDS(config->log_level <= THR_LOG_ERROR && config->log_format <= THR_LOG_JSON);
	check_limit(&config->rate_limit, config->store.on_error);
	for (size_t i = 0; i < config->trusted_proxy_count; i++)
		check_prefix(&config->trusted_proxies[i]);
	check_routes(config);
	check_xdp(&config->xdp);
}

static void check_error(const char *text)
{
	HOLDS(strncmp(text, NAME ":", strlen(NAME ":")) == 0 ||
	      strncmp(text, "XDP_THROTTLE_", strlen("XDP_THROTTLE_")) == 0);
	HOLDS(strstr(text, ": ") && !strpbrk(text, "\n\r"));
}

/* Make the strings of data[0] to data[size - 1] into variables; returns how many. */
static size_t read_environment(const char *data, size_t size,
			       char variables[VARIABLES_MAX][VARIABLE_SIZE])
{
	size_t count = 0;

	while (size && count < VARIABLES_MAX) {
		size_t length = strnlen(data, size);

		snprintf(variables[count++], VARIABLE_SIZE, "XDP_THROTTLE_%.*s", (int)length, data);
		length += length < size;
		data += length;
		size -= length;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
	size_t text_size = nul ? (size_t)(nul - data) : size;
	char variables[VARIABLES_MAX][VARIABLE_SIZE];
	char *environment[VARIABLES_MAX + 1] = {NULL};
	struct thr_config *config = NULL;
	struct thr_error error = {""};

	if (nul) {
		size_t count =
			read_environment(text + text_size + 1, size - text_size - 1, variables);

		for (size_t i = 0; i < count; i++)
			environment[i] = variables[i];
	}
	if (thr_config_parse(NAME, text, text_size, environment, &config, &error) == 0) {
		check_config(config);
	} else {
		HOLDS(!config);
		check_error(error.text);
	}
	thr_config_free(config);
	return 0;
}
