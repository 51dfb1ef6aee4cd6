/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a taking comes to while Redis cannot be asked: as its limit's on_error says. */
#ifndef THR_DEGRADED_H
#define THR_DEGRADED_H

#include "store/store.h"

struct thr_degraded {
	struct thr_memory *buckets;
	struct thr_hash_key scope; /* of its buckets: not those of the memory store */
	uint64_t instances;	   /* that share a limit, at least 1 */
};

void thr_degraded_init(struct thr_degraded *degraded, struct thr_memory *buckets);

/*
 * Answer `ask`. `local`: from a bucket of this machine with its share of the limit, at least
 * one token of it; a cost over the share takes all of it. `deny`: until Redis is looked for
 * again, in `retry_ms`, which only it reads.
 */
void thr_degraded_answer(const struct thr_degraded *degraded, struct thr_ask *ask, uint64_t now_ns,
			 uint64_t retry_ms);

#endif
