/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A configuration from its file to plain data, and its release; see config.h. */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/schema.h"
#include "core/cleanup.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)
#define READ_BYTES ((size_t)64 << 10) /* of the first read; each further one doubles */

/* What zero does not say already. */
static const struct thr_config defaults = {
	.server =
		{
			.port = 8080,
			.max_connections = 65536,
			.header_timeout_ms = 10000,
			.idle_timeout_ms = 60000,
			.body_timeout_ms = 30000,
			.drain_timeout_ms = 30000,
			.max_request_line = 8192,
			.max_header_bytes = 16384,
			.max_headers = 100,
		},
	.upstream =
		{
			.connect_timeout_ms = 2000,
			.response_timeout_ms = 60000,
			.idle_timeout_ms = 30000,
			.keepalive = 128,
			.retries = 1,
			.max_failures = 3,
			.fail_timeout_ms = 10000,
		},
	.xdp.tables.action = THR_ACTION_ENFORCE,
	.xdp.tables.v6_source_bits = 64,
	.api =
		{
			.max_configs = 10000,
			.default_capacity = 100,
			.default_refill_per_s = 10,
		},
	.store =
		{
			.max_keys = 1000000,
			.redis = {.deadline_ms = 50, .failures = 3, .port = 6379},
		},
	.log_level = THR_LOG_INFO,
};

static void free_route(struct thr_route_config *route)
{
	for (size_t i = 0; i < route->target_count; i++)
		free(route->targets[i].host);
	free(route->targets);
	free(route->path);
	free(route->health.path);
}

static void free_redis(struct thr_redis_config *redis)
{
	free(redis->url);
	free(redis->host);
	free(redis->socket);
	free(redis->user);
	free(redis->password);
	free(redis->password_file);
	free(redis->ca_file);
	free(redis->cert_file);
	free(redis->key_file);
	free(redis->key_prefix);
}

void thr_config_free(struct thr_config *config)
{
	if (!config)
		return;
	free(config->server.address);
	free(config->server.user);
	for (size_t i = 0; i < config->route_count; i++)
		free_route(&config->routes[i]);
	free(config->routes);
	free(config->trusted_proxies);
	for (size_t i = 0; i < config->xdp.interface_count; i++)
		free(config->xdp.interfaces[i]);
	free(config->xdp.interfaces);
	thr_tables_clear(&config->xdp.tables);
	free(config->api.listen);
	free(config->api.address);
	free(config->api.token_file);
	free(config->store.state_file);
	free_redis(&config->store.redis);
	free(config);
}

bool thr_config_has_budgets(const struct thr_config *config)
{
	const struct thr_tables *tables = &config->xdp.tables;
	bool has = false;

	for (size_t i = 0; config->xdp.interface_count && i < tables->service_count; i++)
		has |= tables->services[i].new_sources.count > 0;
	return has;
}

void thr_config_name_store(const struct thr_config *config, char name[static THR_STORE_NAME])
{
	const struct thr_redis_config *redis = &config->store.redis;

	if (config->store.backend == THR_BACKEND_MEMORY)
		snprintf(name, THR_STORE_NAME, "memory");
	else if (redis->socket)
		snprintf(name, THR_STORE_NAME, "redis %s", redis->socket);
	else
		snprintf(name, THR_STORE_NAME,
			 strchr(redis->host, ':') ? "redis [%s]:%u%s" : "redis %s:%u%s",
			 redis->host, redis->port, redis->tls ? " (tls)" : "");
}

/* A file that says nothing is one without keys: the environment may still say
 * something. */
static int ensure_root(const struct thr_reader *reader, struct thr_tree *tree)
{
	struct thr_node *root = tree->root;

	if (!root) {
		root = tree->root = thr_tree_node(tree);
		if (!root)
			return thr_refuse_memory(reader);
		root->kind = THR_NODE_MAP;
		root->place = (struct thr_place){1, 1};
	}
	if (root->kind == THR_NODE_SCALAR && root->plain && !root->text[0])
		root->kind = THR_NODE_MAP;
	if (root->kind != THR_NODE_MAP)
		return thr_refuse(reader, root, "the file is %s: write keys such as routes and xdp",
				  root->kind == THR_NODE_LIST ? "a list" : "a single value");
	return 0;
}

/* Fill `config` from the text; what was filled by a failure is the caller's. */
static int read_config(const struct thr_reader *reader, const char *text, size_t size,
		       char *const *environment, struct thr_config *config)
{
	struct thr_tree tree = {0};
	int r = thr_tree_load(reader, text, size, &tree);

	if (r == 0)
		r = ensure_root(reader, &tree);
	if (r == 0)
		r = thr_environment_apply(reader, environment, &tree);
	if (r == 0)
		r = thr_decode(reader, &thr_schema, tree.root, config);
	thr_tree_free(&tree);
	return r;
}

static int refuse_size(struct thr_error *error, const char *name)
{
	return thr_fail(error, EFBIG, "%s: larger than %zu MiB: write a smaller file", name,
			FILE_BYTES_MAX >> 20);
}

int thr_config_parse(const char *name, const char *text, size_t size, char *const *environment,
		     struct thr_config **ret_config, struct thr_error *error)
{
	struct thr_reader reader = {.name = name, .error = error};
	struct thr_config *config;
	int r;

	if (size > FILE_BYTES_MAX)
		return refuse_size(error, name);
	config = malloc(sizeof(*config));
	if (!config)
		return thr_refuse_memory(&reader);
	*config = defaults;
	r = read_config(&reader, text, size, environment, config);
	if (r < 0)
		thr_config_free(config);
	else
		*ret_config = config;
	return r;
}

/* Read to the end of a file of any kind, or one byte past the limit. */
static int read_all(int fd, char **ret_text, size_t *ret_size)
{
	AUTO_FREE char *text = NULL;
	size_t size = 0, room = 0;

	for (;;) {
		ssize_t got;

		if (size == room) {
			char *more;

			room = room ? room * 2 : READ_BYTES;
			more = realloc(text, room);
			if (!more)
				return -ENOMEM;
			text = more;
		}
		got = read(fd, text + size, room - size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		size += (size_t)got;
		if (got == 0 || size > FILE_BYTES_MAX)
			break;
	}
	*ret_text = TAKE_PTR(text);
	*ret_size = size;
	return 0;
}

int thr_config_load(const char *path, char *const *environment, struct thr_config **ret_config,
		    struct thr_error *error)
{
	AUTO_FREE char *text = NULL;
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	int r = fd < 0 ? -errno : read_all(fd, &text, &size);

	if (r < 0)
		return thr_fail(error, -r, "%s: cannot be read: %s", path, strerror(-r));
	return thr_config_parse(path, text, size, environment, ret_config, error);
}
