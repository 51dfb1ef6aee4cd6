/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The route of a path: the longest configured one that the path begins with on a
 * segment boundary (the next byte is '/', or nothing). Matching looks at the
 * bytes as they were sent: "//", "/../", "%2e%2e" and "%2F" are bytes like any
 * others, and no case is folded. What is matched is what is forwarded.
 *
 * A lookup hashes the path once, and probes a table where a segment ends, for no
 * more segments than the longest route has: thousands of routes cost what one
 * does.
 */
#ifndef THR_ROUTE_H
#define THR_ROUTE_H

#include <stddef.h>

#include "config/config.h"
#include "core/slice.h"

struct thr_routes;

/* The paths must outlive the table; their order is the index that find returns.
 * Returns 0 or -ENOMEM. */
int thr_routes_new(const struct thr_route_config *routes, size_t count, struct thr_routes **ret);
void thr_routes_free(struct thr_routes *routes); /* NULL-safe */

/* `path` without its query. Returns the index, or -1: no route. */
int thr_routes_find(const struct thr_routes *routes, struct thr_slice path);

#endif
