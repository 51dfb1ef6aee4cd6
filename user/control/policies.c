/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See policies.h. */
#include "control/policies.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "thr_bucket.h"

#define HASH_SIZE (4 * THR_POLICIES_MAX) /* a power of two, at most a quarter full */

int thr_policy_set_init(struct thr_policy_set *set, struct thr_policy *policies)
{
	*set = (struct thr_policy_set){.policies = policies, .next = THR_POLICY_FIRST_FREE};
	set->buckets = calloc(HASH_SIZE, sizeof(*set->buckets));
	return set->buckets ? 0 : -ENOMEM;
}

void thr_policy_set_clear(struct thr_policy_set *set)
{
	free(set->buckets);
	*set = (struct thr_policy_set){};
}

struct thr_limit thr_limit_of(const struct thr_rate *rate, uint32_t scope)
{
	uint64_t interval = thr_bucket_interval(rate->count, rate->per_s);

	if (!rate->count)
		return (struct thr_limit){};
	return (struct thr_limit){
		.interval = interval,
		.window = thr_bucket_ticks(interval, rate->burst),
		.rate = rate->count,
		.burst = rate->burst,
		.per_s = rate->per_s,
		.scope = scope,
	};
}

struct thr_rate thr_limit_rate(const struct thr_limit *limit)
{
	if (!limit->interval)
		return (struct thr_rate){};
	return (struct thr_rate){
		.count = limit->rate, .burst = limit->burst, .per_s = limit->per_s};
}

void thr_policy_state(struct thr_policy *policy, const struct thr_limits *limits, uint32_t scope)
{
	for (int kind = 0; kind < THR_KINDS; kind++)
		if (limits->kind[kind].count)
			policy->limit[kind] = thr_limit_of(&limits->kind[kind], scope);
}

void thr_policy_limits(const struct thr_policy *policy, struct thr_limits *ret_limits)
{
	for (int kind = 0; kind < THR_KINDS; kind++)
		ret_limits->kind[kind] = thr_limit_rate(&policy->limit[kind]);
}

static uint32_t policy_kinds(const struct thr_policy *policy)
{
	uint32_t kinds = 0;

	for (int kind = 0; kind < THR_KINDS; kind++)
		if (policy->limit[kind].interval)
			kinds |= 1u << kind;
	return kinds;
}

/* FNV-1a over the words: the set is the user's own, so no seed is needed. */
static uint32_t policy_hash(const struct thr_policy *policy)
{
	const uint8_t *bytes = (const uint8_t *)policy;
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < sizeof(*policy); i += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, bytes + i, sizeof(word));
		hash = (hash ^ word) * 0x100000001b3ULL;
		hash ^= hash >> 29;
	}
	return (uint32_t)(hash >> 16);
}

int thr_policy_set_add(struct thr_policy_set *set, const struct thr_policy *policy,
		       struct thr_error *error)
{
	uint32_t at = policy_hash(policy);

	if (!policy_kinds(policy))
		return 0;
	for (;; at++) {
		uint32_t *index = &set->buckets[at & (HASH_SIZE - 1)];

		if (*index && memcmp(&set->policies[*index], policy, sizeof(*policy)) == 0)
			return (int)*index;
		if (*index)
			continue;
		if (set->next == THR_POLICIES_MAX)
			return thr_fail(error, ENOSPC,
					"more than %d different limits: let prefixes share some",
					THR_POLICIES_MAX - THR_POLICY_FIRST_FREE);
		*index = set->next++;
		set->policies[*index] = *policy;
		set->kinds |= policy_kinds(policy);
		return (int)*index;
	}
}

void thr_policy_set_place(struct thr_policy_set *set, uint32_t index,
			  const struct thr_policy *policy)
{
	set->policies[index] = *policy;
	set->kinds |= policy_kinds(policy);
}
