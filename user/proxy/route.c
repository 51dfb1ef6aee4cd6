/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of routes; see route.h. Open addressing with linear probing, at most
 * half full, so that a probe ends within a few cells.
 *
 *   /api/v2/users/7    hash of "/api", probe; extended to "/api/v2", probe; ...
 *       ^  ^     ^ ^   the last probe that found one is the longest match
 *
 * The hash is FNV-1a (Fowler, Noll and Vo), without a key: strangers choose what
 * is looked up, only the configuration chooses what is in the table. Immutable
 * once made.
 */
#include "proxy/route.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#define FNV_OFFSET 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL
#define CELLS_MIN 2 /* one is always empty: it ends a probe */

struct cell {
	const char *path; /* NULL: empty */
	uint32_t length;
	int32_t index;
};

struct thr_routes {
	int root;	/* index of "/", which is not in a cell; -1: none */
	size_t longest; /* path in a cell, in bytes */
	size_t deepest; /* path in a cell, in segments */
	size_t mask;	/* cells - 1, a power of two */
	struct cell cell[];
};

static uint64_t extend(uint64_t hash, char byte)
{
	return (hash ^ (uint8_t)byte) * FNV_PRIME;
}

/* Low bits of a product depend on low bits alone: the high ones are folded in. */
static size_t first_cell(const struct thr_routes *routes, uint64_t hash)
{
	return (size_t)(hash ^ hash >> 32) & routes->mask;
}

static void insert(struct thr_routes *routes, const char *path, int index)
{
	uint64_t hash = FNV_OFFSET;
	size_t length = strlen(path), depth = 0, at;

	for (size_t i = 0; i < length; i++) {
		hash = extend(hash, path[i]);
		depth += path[i] == '/';
	}
	at = first_cell(routes, hash);
	while (routes->cell[at].path)
		at = (at + 1) & routes->mask;
	routes->cell[at] =
		(struct cell){.path = path, .length = (uint32_t)length, .index = (int32_t)index};
	if (length > routes->longest)
		routes->longest = length;
	if (depth > routes->deepest)
		routes->deepest = depth;
}

int thr_routes_new(const struct thr_route_config *configs, size_t count, struct thr_routes **ret)
{
	struct thr_routes *routes;
	size_t cells = CELLS_MIN;

	while (cells < 2 * count)
		cells *= 2;
	routes = calloc(1, sizeof(*routes) + cells * sizeof(routes->cell[0]));
	if (!routes)
		return -ENOMEM;
	routes->root = -1;
	routes->mask = cells - 1;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(configs[i].path, "/") == 0)
			routes->root = (int)i;
		else
			insert(routes, configs[i].path, (int)i);
	}
	*ret = routes;
	return 0;
}

void thr_routes_free(struct thr_routes *routes)
{
	free(routes);
}

/* The cell whose path is exactly these bytes, or NULL. */
static const struct cell *look_up(const struct thr_routes *routes, uint64_t hash,
				  struct thr_slice path)
{
	size_t at = first_cell(routes, hash);

	for (; routes->cell[at].path; at = (at + 1) & routes->mask)
		if (routes->cell[at].length == path.length &&
		    memcmp(routes->cell[at].path, path.at, path.length) == 0)
			return &routes->cell[at];
	return NULL;
}

int thr_routes_find(const struct thr_routes *routes, struct thr_slice path)
{
	size_t end = path.length < routes->longest ? path.length : routes->longest, at = 0;
	uint64_t hash = FNV_OFFSET;
	int found = routes->root;

	if (!path.length || path.at[0] != '/')
		return -1;
	for (size_t depth = 0; depth < routes->deepest && at < end; depth++) {
		const struct cell *cell;

		do
			hash = extend(hash, path.at[at++]);
		while (at < end && path.at[at] != '/');
		if (at < path.length && path.at[at] != '/')
			break; /* within a segment that is longer than any route */
		cell = look_up(routes, hash, (struct thr_slice){path.at, at});
		if (cell)
			found = cell->index;
	}
	return found;
}
