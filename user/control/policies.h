/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From limits as the user states them to the policies that the packet layer
 * reads: what each kind costs a bucket, and which bucket.
 */
#ifndef THR_POLICIES_H
#define THR_POLICIES_H

#include "config/config.h"
#include "core/error.h"
#include "thr_abi.h"

/* The policies of one slot. Equal ones are kept once, so that 100,000 prefixes
 * with the same limit cost one. */
struct thr_policy_set {
	struct thr_policy *policies; /* THR_POLICIES_MAX of them; the caller's memory */
	uint32_t next;		     /* the first free index */
	uint32_t *buckets;	     /* hash table of indices; 0: empty */
	uint32_t kinds;		     /* bit per enum thr_kind that any policy limits */
};

/* A rate as the packet layer keeps it, with `scope`; no limit for a count of 0. And
 * back. */
struct thr_limit thr_limit_of(const struct thr_rate *rate, uint32_t scope);
struct thr_rate thr_limit_rate(const struct thr_limit *limit);

/* Start in `policies`, which is zeroed. Returns 0 or -ENOMEM. */
int thr_policy_set_init(struct thr_policy_set *set, struct thr_policy *policies);
void thr_policy_set_clear(struct thr_policy_set *set);

/* Set what `limits` state, charged to `scope`, in `policy`; kinds that they
 * leave out stay as they are. */
void thr_policy_state(struct thr_policy *policy, const struct thr_limits *limits, uint32_t scope);

/* The limits that a policy states, as the user wrote them. */
void thr_policy_limits(const struct thr_policy *policy, struct thr_limits *ret_limits);

/* The index of an equal policy, added when there is none; 0 for one that limits
 * nothing. Returns a negative errno with `error` set when the set is full. */
int thr_policy_set_add(struct thr_policy_set *set, const struct thr_policy *policy,
		       struct thr_error *error);

/* Put `policy` at a fixed index below THR_POLICY_FIRST_FREE. */
void thr_policy_set_place(struct thr_policy_set *set, uint32_t index,
			  const struct thr_policy *policy);

#endif
