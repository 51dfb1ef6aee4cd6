/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The key of a client's bucket: of its IPv4 address or its IPv6 /64, which is what a network
 * gives to one customer. */
#ifndef THR_CLIENT_KEY_H
#define THR_CLIENT_KEY_H

#include "core/address.h"
#include "core/hash.h"
#include "store/memory.h"

/* The key in a scope, so that one client's buckets of two limits are different keys. Groups:
 * /24 and /16; /48 and /32. */
void thr_client_key(const struct thr_hash_key *scope, const struct thr_address *client,
		    struct thr_memory_key *ret_key);

#endif
