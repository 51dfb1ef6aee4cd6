/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is known of targets, in one block of shared memory; see target.h.
 *
 *   target 0 | target 1 | ...                a cache line each: read for every
 *                                            pick, written when something changes
 *   requests of worker 0 with target 0, 1, ...   rows of their own: written for
 *   requests of worker 1 with target 0, 1, ...   every request, by one worker only
 *
 * So a worker that begins a request writes to lines that nobody else writes, and
 * that others read only where they balance by load.
 *
 * Every field stands for itself, and no decision needs two of them to agree:
 * atomics are relaxed. What a race can cost is one request more or less to a
 * target that just changed.
 *
 * The block holds numbers only. Whatever leads to an address or bounds a loop is in
 * the handle, which each process has for itself.
 */
#include "proxy/target.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/cleanup.h"
#include "proxy/route.h"

#define LINE_BYTES 64
#define ROW_BYTES 128 /* rows start apart by what the prefetcher takes as a pair */

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define EXCHANGE(field, value) __atomic_exchange_n(&(field), (value), __ATOMIC_RELAXED)
#define INCREMENT(field) __atomic_add_fetch(&(field), 1, __ATOMIC_RELAXED)
#define REPLACE(field, expected, value)                                                            \
	__atomic_compare_exchange_n(&(field), &(expected), (value), false, __ATOMIC_RELAXED,       \
				    __ATOMIC_RELAXED)

struct target {
	uint64_t aside_until_ms; /* 0: not set aside after failures */
	uint64_t next_check_ms;
	uint32_t failures; /* of requests, in a row */
	uint32_t contrary; /* checks in a row that say other than down */
	uint32_t down;	   /* 1: by checks; a number, since any may be found there */
} __attribute__((aligned(LINE_BYTES)));

struct thr_targets {
	struct target *target; /* the block */
	char *rows;	       /* in it */
	size_t size;	       /* of it */
	size_t row_bytes;
	size_t count;
	unsigned int workers;
	uint64_t trial_ms; /* between two requests that try a target that is set aside */
	bool is_only[];	   /* each: of its route */
};

static size_t round_up(size_t bytes, size_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

static size_t count_targets(const struct thr_config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->route_count; i++)
		count += config->routes[i].target_count;
	return count;
}

/* Where worker 0's row begins, from the start of the block. */
static size_t rows_at(size_t count)
{
	return round_up(count * sizeof(struct target), ROW_BYTES);
}

static size_t row_bytes(size_t count)
{
	return round_up(count * sizeof(uint32_t), ROW_BYTES);
}

size_t thr_targets_size(const struct thr_config *config, unsigned int workers)
{
	size_t count = count_targets(config);

	return round_up(rows_at(count) + workers * row_bytes(count) + 1, ROW_BYTES);
}

struct thr_targets *thr_targets_new(void *block, const struct thr_config *config,
				    unsigned int workers)
{
	size_t count = count_targets(config), at = 0;
	struct thr_targets *targets = calloc(1, sizeof(*targets) + count * sizeof(bool));

	if (!targets)
		return NULL;
	targets->target = block;
	targets->rows = (char *)block + rows_at(count);
	targets->size = thr_targets_size(config, workers);
	targets->row_bytes = row_bytes(count);
	targets->count = count;
	targets->workers = workers;
	targets->trial_ms = config->upstream.fail_timeout_ms;
	for (size_t i = 0; i < config->route_count; i++)
		for (size_t j = 0; j < config->routes[i].target_count; j++, at++)
			targets->is_only[at] = config->routes[i].target_count == 1;
	return targets;
}

void thr_targets_free(struct thr_targets *targets)
{
	if (!targets)
		return;
	munmap(targets->target, targets->size);
	free(targets);
}

/* --- from one configuration to the next --- */

/* A route and what is known of its targets. */
struct known_route {
	const struct thr_route_config *config;
	struct target *target;
};

static void inherit_target(struct target *to, const struct target *from, bool is_only,
			   bool both_check)
{
	if (!is_only) {
		STORE(to->failures, LOAD(from->failures));
		STORE(to->aside_until_ms, LOAD(from->aside_until_ms));
	}
	if (both_check) {
		STORE(to->contrary, LOAD(from->contrary));
		STORE(to->down, LOAD(from->down));
	}
}

static void inherit_route(const struct known_route *to, const struct known_route *from)
{
	bool both_check = to->config->health.path && from->config->health.path;
	bool is_only = to->config->target_count == 1;

	for (size_t i = 0; i < to->config->target_count; i++) {
		const struct thr_target *wanted = &to->config->targets[i];

		for (size_t j = 0; j < from->config->target_count; j++) {
			const struct thr_target *known = &from->config->targets[j];

			if (known->port != wanted->port || strcmp(known->host, wanted->host) != 0)
				continue;
			inherit_target(&to->target[i], &from->target[j], is_only, both_check);
			break;
		}
	}
}

/* The number of each route's first target; NULL: out of memory. */
static size_t *number_routes(const struct thr_config *config)
{
	size_t *first = calloc(config->route_count + 1, sizeof(*first));

	for (size_t i = 0; first && i < config->route_count; i++)
		first[i + 1] = first[i] + config->routes[i].target_count;
	return first;
}

void thr_targets_inherit(struct thr_targets *targets, const struct thr_config *config,
			 const struct thr_targets *old, const struct thr_config *old_config)
{
	AUTO_FREE size_t *old_first = number_routes(old_config);
	struct thr_routes *old_routes;
	struct target *target = targets->target;

	if (!old_first ||
	    thr_routes_new(old_config->routes, old_config->route_count, &old_routes) < 0)
		return;
	for (size_t i = 0; i < config->route_count; i++) {
		const struct thr_route_config *route = &config->routes[i];
		struct thr_slice path = {route->path, strlen(route->path)};
		int found = thr_routes_find(old_routes, path);

		/* A path that was there is its own longest match. */
		if (found >= 0 && strcmp(old_config->routes[found].path, route->path) == 0) {
			struct known_route to = {route, target};
			struct known_route from = {&old_config->routes[found],
						   old->target + old_first[found]};

			inherit_route(&to, &from);
		}
		target += route->target_count;
	}
	thr_routes_free(old_routes);
}

/* --- requests --- */

bool thr_target_is_available(const struct thr_targets *targets, size_t target, uint64_t now_ms)
{
	const struct target *known = &targets->target[target];

	return !LOAD(known->down) && LOAD(known->aside_until_ms) <= now_ms;
}

bool thr_target_try(struct thr_targets *targets, size_t target, uint64_t now_ms)
{
	struct target *known = &targets->target[target];
	uint64_t until_ms = LOAD(known->aside_until_ms);

	if (!until_ms)
		return true;
	return until_ms <= now_ms &&
	       REPLACE(known->aside_until_ms, until_ms, now_ms + targets->trial_ms);
}

bool thr_target_failed(struct thr_targets *targets, size_t target,
		       const struct thr_upstream_config *rules, uint64_t now_ms)
{
	struct target *known = &targets->target[target];

	if (targets->is_only[target] || !rules->max_failures)
		return false;
	if (INCREMENT(known->failures) < rules->max_failures)
		return false;
	return EXCHANGE(known->aside_until_ms, now_ms + rules->fail_timeout_ms) == 0;
}

bool thr_target_succeeded(struct thr_targets *targets, size_t target)
{
	struct target *known = &targets->target[target];

	/* Nearly always so, and then nothing is written to the line that all read. */
	if (!LOAD(known->failures) && !LOAD(known->aside_until_ms))
		return false;
	STORE(known->failures, 0);
	return EXCHANGE(known->aside_until_ms, 0) != 0;
}

/* --- active checks --- */

bool thr_target_checked(struct thr_targets *targets, size_t target,
			const struct thr_health_config *rules, bool passed)
{
	struct target *known = &targets->target[target];
	uint32_t needed = passed ? rules->healthy : rules->unhealthy;

	if (!passed != !LOAD(known->down)) {
		STORE(known->contrary, 0);
		return false;
	}
	if (INCREMENT(known->contrary) < needed)
		return false;
	STORE(known->contrary, 0);
	/* Back means back: what requests found before it went says nothing any more. */
	if (passed) {
		STORE(known->failures, 0);
		STORE(known->aside_until_ms, 0);
	}
	return !EXCHANGE(known->down, !passed) == !passed;
}

bool thr_target_check_is_due(struct thr_targets *targets, size_t target,
			     const struct thr_health_config *rules, uint64_t now_ms)
{
	struct target *known = &targets->target[target];
	uint64_t next_ms = LOAD(known->next_check_ms);

	return next_ms <= now_ms &&
	       REPLACE(known->next_check_ms, next_ms, now_ms + rules->interval_ms);
}

/* --- requests in flight --- */

/* The number that `worker` has with `target`. It alone changes it while it lives:
 * a load and a store do, without a locked instruction. */
static uint32_t *in_flight(const struct thr_targets *targets, size_t target, unsigned int worker)
{
	assert(target < targets->count && worker < targets->workers);
	return (uint32_t *)(targets->rows + worker * targets->row_bytes) + target;
}

void thr_target_begin(struct thr_targets *targets, size_t target, unsigned int worker)
{
	uint32_t *count = in_flight(targets, target, worker);

	STORE(*count, LOAD(*count) + 1);
}

/* A number that another process has spoilt must not end this one. */
void thr_target_end(struct thr_targets *targets, size_t target, unsigned int worker)
{
	uint32_t *count = in_flight(targets, target, worker);
	uint32_t now = LOAD(*count);

	if (now)
		STORE(*count, now - 1);
}

uint32_t thr_target_busy(const struct thr_targets *targets, size_t target)
{
	uint32_t busy = 0;

	for (unsigned int worker = 0; worker < targets->workers; worker++)
		busy += LOAD(*in_flight(targets, target, worker));
	return busy;
}

void thr_targets_forget_worker(struct thr_targets *targets, unsigned int worker)
{
	for (size_t target = 0; target < targets->count; target++)
		STORE(*in_flight(targets, target, worker), 0);
}
