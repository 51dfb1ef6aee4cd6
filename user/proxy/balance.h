/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which target of a route gets a request.
 *
 *   round_robin      in turn; each worker starts at another one
 *   least_conn       the fewest requests in flight over all workers; equals in turn
 *   consistent_hash  by client: highest random weight (Thaler and Ravishankar, 1998),
 *                    so that only the clients of a target that goes move
 *   random           the less busy of two drawn at random (Mitzenmacher, 2001)
 *
 * Targets that are set aside, or were tried for this request, are passed over.
 */
#ifndef THR_BALANCE_H
#define THR_BALANCE_H

#include "proxy/target.h"

#define THR_PICK_NONE SIZE_MAX
#define THR_TRIED_MAX 8

/* A route's targets; plain data that the caller fills in. */
struct thr_picker {
	enum thr_balance balance;
	size_t first, count;	/* in the numbering of target.h; at least 1 */
	const uint64_t *weight; /* of each, from its host and port: thr_pick_weight() */
	size_t turn;		/* changed by picks */
	uint64_t random;	/* state of the generator; not 0; changed by picks */
};

struct thr_pick {
	uint64_t client; /* hash of the client's address */
	uint64_t now_ms;
	const size_t *tried; /* numbers of target.h */
	size_t tried_count;
};

uint64_t thr_pick_weight(const struct thr_target *target);

/* The number of a target, or THR_PICK_NONE. The request is to be sent to it: a
 * target that had been set aside is picked once, for a trial (target.h). */
size_t thr_pick(struct thr_picker *picker, struct thr_targets *targets,
		const struct thr_pick *pick);

#endif
