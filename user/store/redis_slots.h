/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Redis Cluster's words: slots of keys, where a reply says that a slot is, and the list of
 * who has which. Source: the Redis Cluster specification.
 */
#ifndef THR_REDIS_SLOTS_H
#define THR_REDIS_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/slice.h"

struct redisReply;

#define THR_REDIS_SLOTS 16384 /* a power of two */

/* Where slots are: bytes of the reply. An empty host is the one that was asked. */
struct thr_redis_place {
	uint16_t first_slot, last_slot;
	struct thr_slice host;
	uint16_t port;
};

/* "MOVED 3999 127.0.0.1:6381", "ASK 3999 :6381", "MOVED 3999 ::1:6381". Returns whether the
 * error says such a thing in a way that can be followed. */
bool thr_redis_place_parse(struct thr_slice error, struct thr_redis_place *ret_place);

/* One element of the reply to CLUSTER SLOTS: the master of a range of slots. Returns whether
 * it can be used. */
bool thr_redis_range_parse(const struct redisReply *element, struct thr_redis_place *ret_place);

/* Whether an error begins with this word. */
bool thr_redis_error_is(struct thr_slice error, const char *word);

#endif
