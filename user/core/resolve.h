/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Names to addresses by c-ares, which asks DNS servers and reads /etc/hosts, driven
 * by the loop: nobody waits.
 */
#ifndef THR_RESOLVE_H
#define THR_RESOLVE_H

#include "core/address.h"
#include "core/loop.h"

#define THR_ADDRESSES_MAX 8 /* of a name that are kept */

struct thr_resolver;

/* Addresses that need no look-up: one that is written out, and those of localhost, which
 * is what it is also where /etc/hosts does not say so (RFC 6761, 6.3). Ports are 0. Returns
 * how many there are: 0 for a name. */
#define THR_FIXED_ADDRESSES_MAX 2
size_t thr_fixed_addresses(const char *host,
			   struct thr_address ret_address[static THR_FIXED_ADDRESSES_MAX]);

typedef void thr_resolved(void *context, const struct thr_address *address, size_t count,
			  uint32_t ttl_s);

/* Returns 0 or a negative errno. */
int thr_resolver_new(struct thr_loop *loop, struct thr_resolver **ret_resolver);

/* Calls what waits, with count 0. NULL-safe. */
void thr_resolver_free(struct thr_resolver *resolver);

/* Look up the IPv4 and IPv6 addresses of a name; `done` is called once, maybe
 * before this returns, with count 0 when there is none. Ports are 0. */
void thr_resolver_find(struct thr_resolver *resolver, const char *host, thr_resolved *done,
		       void *context);

#endif
