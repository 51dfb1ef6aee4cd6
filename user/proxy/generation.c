/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A configuration made ready to serve by; see internal.h. */
#include <errno.h>
#include <stdlib.h>

#include "proxy/identity.h"
#include "proxy/internal.h"

static void set_limit(struct thr_proxy *proxy, struct limit *limit,
		      const struct thr_client_limit *from, const char *scope, const char *policy)
{
	limit->limited = from->rate.count > 0;
	if (!limit->limited)
		return;
	limit->limit = thr_store_limit_of(&from->rate);
	limit->on_error = from->on_error;
	limit->scope = thr_hash_scope(thr_store_hash_key(proxy->parts.store), scope);
	limit->name = scope;
	limit->policy = policy;
}

/* The scope is no route's path, which begins with '/', nor that of the default. */
static void set_block(struct thr_proxy *proxy, struct block *block, const struct thr_config *config)
{
	block->blocks = config->block.refusals.count && config->xdp.interface_count;
	if (!block->blocks)
		return;
	block->limit = thr_store_limit_of(&config->block.refusals);
	block->scope = thr_hash_scope(thr_store_hash_key(proxy->parts.store), "block");
	block->for_ns = config->block.for_ms * THR_NS_PER_MS;
}

static int set_targets(struct generation *generation)
{
	const struct thr_config *config = generation->config;
	size_t count = 0, at = 0;

	for (size_t i = 0; i < config->route_count; i++)
		count += config->routes[i].target_count;
	generation->target = calloc(count + 1, sizeof(*generation->target));
	generation->weights = calloc(count + 1, sizeof(*generation->weights));
	if (!generation->target || !generation->weights)
		return -ENOMEM;
	generation->target_count = count;
	for (size_t i = 0; i < config->route_count; i++) {
		for (size_t j = 0; j < config->routes[i].target_count; j++, at++) {
			const struct thr_target *target = &config->routes[i].targets[j];

			generation->weights[at] = thr_pick_weight(target);
			generation->target[at].endpoint = endpoint_get(generation->proxy, target);
			if (!generation->target[at].endpoint)
				return -ENOMEM;
		}
	}
	return 0;
}

static int set_routes(struct generation *generation)
{
	const struct thr_config *config = generation->config;
	const struct thr_proxy_parts *parts = &generation->proxy->parts;
	size_t first = 0;

	generation->routes = calloc(config->route_count + 1, sizeof(*generation->routes));
	if (!generation->routes)
		return -ENOMEM;
	for (size_t i = 0; i < config->route_count; i++) {
		const struct thr_route_config *from = &config->routes[i];
		struct route *route = &generation->routes[i];

		route->config = from;
		set_limit(generation->proxy, &route->own, &from->rate_limit, from->path,
			  from->path);
		route->picker = (struct thr_picker){
			.balance = from->balance,
			.first = first,
			.count = from->target_count,
			.weight = generation->weights + first,
			.turn = parts->worker,
			.random = proxy_random(generation->proxy) | 1,
		};
		route->slot = thr_route_counts_slot(parts->route_counts, thr_text(from->path));
		route->counts =
			thr_route_counts_of(parts->route_counts, parts->worker, route->slot);
		first += from->target_count;
	}
	return thr_routes_new(config->routes, config->route_count, &generation->index);
}

static void release(struct generation *generation)
{
	checks_stop(generation);
	for (size_t i = 0; i < generation->target_count; i++)
		endpoint_put(generation->target[i].endpoint);
	free(generation->target);
	free(generation->weights);
	free(generation->routes);
	thr_routes_free(generation->index);
	free(generation);
}

int generation_new(struct thr_proxy *proxy, struct thr_config *config, struct thr_targets *targets,
		   struct generation **ret)
{
	struct generation *generation = calloc(1, sizeof(*generation));
	int r;

	if (!generation)
		return -ENOMEM;
	generation->references = 1;
	generation->proxy = proxy;
	generation->config = config;
	generation->targets = targets;
	generation->limits = (struct thr_http_limits){
		.line_bytes = config->server.max_request_line,
		.head_bytes = config->server.max_header_bytes,
		.field_count = config->server.max_headers,
	};
	set_limit(proxy, &generation->fallback, &config->rate_limit, "", "default");
	set_block(proxy, &generation->block, config);
	generation->verifies = thr_config_has_budgets(config);
	r = set_targets(generation);
	if (r == 0)
		r = set_routes(generation);
	if (r == 0)
		r = checks_start(generation);
	if (r < 0) {
		release(generation);
		return r;
	}
	*ret = generation;
	return 0;
}

struct generation *generation_get(struct generation *generation)
{
	generation->references++;
	return generation;
}

void generation_put(struct generation *generation)
{
	struct thr_config *config;
	struct thr_targets *targets;

	if (!generation || --generation->references)
		return;
	config = generation->config;
	targets = generation->targets;
	release(generation);
	thr_targets_free(targets);
	thr_config_free(config);
}
