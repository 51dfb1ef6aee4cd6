/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Picks of a target; see balance.h. Taking turns goes on behind the target that
 * was picked, not behind the one whose turn it was: so the share of a target that
 * is passed over is spread over all others, and does not fall to its neighbour.
 */
#include "proxy/balance.h"

#define DRAWS_MAX 16 /* with half of the targets usable, one in 65,536 picks is not random */

/* FNV-1a, the same in every process and on every machine. */
uint64_t thr_pick_weight(const struct thr_target *target)
{
	const char port[2] = {(char)(target->port >> 8), (char)target->port};
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (const char *at = target->host; *at; at++)
		hash = (hash ^ (uint8_t)*at) * 0x100000001b3ULL;
	for (size_t i = 0; i < sizeof(port); i++)
		hash = (hash ^ (uint8_t)port[i]) * 0x100000001b3ULL;
	return hash;
}

/* Whether the picker's target `i` may get the request. */
static bool is_usable(const struct thr_picker *picker, const struct thr_targets *targets,
		      const struct thr_pick *pick, size_t i)
{
	size_t number = picker->first + i;

	for (size_t t = 0; t < pick->tried_count; t++)
		if (pick->tried[t] == number)
			return false;
	return thr_target_is_available(targets, number, pick->now_ms);
}

static size_t after(const struct thr_picker *picker, size_t i)
{
	return i + 1 < picker->count ? i + 1 : 0;
}

static size_t pick_in_turn(struct thr_picker *picker, const struct thr_targets *targets,
			   const struct thr_pick *pick)
{
	size_t i = picker->turn % picker->count;

	for (size_t left = picker->count; left; left--, i = after(picker, i)) {
		if (is_usable(picker, targets, pick, i)) {
			picker->turn = i + 1;
			return i;
		}
	}
	return THR_PICK_NONE;
}

static size_t pick_least_busy(struct thr_picker *picker, const struct thr_targets *targets,
			      const struct thr_pick *pick)
{
	size_t i = picker->turn % picker->count, best = THR_PICK_NONE;
	uint32_t best_busy = 0;

	for (size_t left = picker->count; left; left--, i = after(picker, i)) {
		uint32_t busy;

		if (!is_usable(picker, targets, pick, i))
			continue;
		busy = thr_target_busy(targets, picker->first + i);
		if (best == THR_PICK_NONE || busy < best_busy) {
			best = i;
			best_busy = busy;
		}
	}
	if (best != THR_PICK_NONE)
		picker->turn = best + 1;
	return best;
}

/* The finalizer of MurmurHash3 (Appleby, 2011): every bit of the input changes
 * about half of the output's. */
static uint64_t mix(uint64_t word)
{
	word = (word ^ word >> 33) * 0xff51afd7ed558ccdULL;
	word = (word ^ word >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return word ^ word >> 33;
}

static size_t pick_by_client(const struct thr_picker *picker, const struct thr_targets *targets,
			     const struct thr_pick *pick)
{
	size_t best = THR_PICK_NONE;
	uint64_t best_score = 0;

	for (size_t i = 0; i < picker->count; i++) {
		uint64_t score = mix(picker->weight[i] ^ pick->client);

		if (best != THR_PICK_NONE && score <= best_score)
			continue;
		if (is_usable(picker, targets, pick, i)) {
			best = i;
			best_score = score;
		}
	}
	return best;
}

/* A number below `limit`, by xorshift64* (Vigna, 2016). */
static size_t draw(struct thr_picker *picker, size_t limit)
{
	uint64_t random = picker->random;

	random ^= random >> 12;
	random ^= random << 25;
	random ^= random >> 27;
	picker->random = random;
	return (size_t)((random * 0x2545f4914f6cdd1dULL >> 32) * limit >> 32);
}

/* A usable target other than `but`, drawn at random. Draws that miss are bounded:
 * where few are usable, the next one behind the last draw will do. */
static size_t draw_usable(struct thr_picker *picker, const struct thr_targets *targets,
			  const struct thr_pick *pick, size_t but)
{
	size_t i = 0;

	for (size_t left = DRAWS_MAX; left; left--) {
		i = draw(picker, picker->count);
		if (i != but && is_usable(picker, targets, pick, i))
			return i;
	}
	for (size_t left = picker->count; left; left--) {
		i = after(picker, i);
		if (i != but && is_usable(picker, targets, pick, i))
			return i;
	}
	return THR_PICK_NONE;
}

static size_t pick_of_two(struct thr_picker *picker, const struct thr_targets *targets,
			  const struct thr_pick *pick)
{
	size_t one = draw_usable(picker, targets, pick, THR_PICK_NONE);
	size_t other = draw_usable(picker, targets, pick, one);

	if (one == THR_PICK_NONE || other == THR_PICK_NONE)
		return one;
	return thr_target_busy(targets, picker->first + other) <
			       thr_target_busy(targets, picker->first + one)
		       ? other
		       : one;
}

static size_t pick_one(struct thr_picker *picker, const struct thr_targets *targets,
		       const struct thr_pick *pick)
{
	switch (picker->balance) {
	case THR_LEAST_CONN:
		return pick_least_busy(picker, targets, pick);
	case THR_CONSISTENT_HASH:
		return pick_by_client(picker, targets, pick);
	case THR_RANDOM:
		return pick_of_two(picker, targets, pick);
	case THR_ROUND_ROBIN:
	default:
		return pick_in_turn(picker, targets, pick);
	}
}

size_t thr_pick(struct thr_picker *picker, struct thr_targets *targets, const struct thr_pick *pick)
{
	for (;;) {
		size_t i = pick_one(picker, targets, pick);

		if (i == THR_PICK_NONE)
			return THR_PICK_NONE;
		/* Fails when another worker tries this one just now: it is not available
		 * any more, so the next pick is another. */
		if (thr_target_try(targets, picker->first + i, pick->now_ms))
			return picker->first + i;
	}
}
