/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers that are the same on every run: a test starts from a seed of its own. */
#ifndef THR_TEST_RANDOM_H
#define THR_TEST_RANDOM_H

#include <linux/types.h>

/* xorshift64* (Vigna, 2016). `*state` is the seed at first; not 0. */
static inline __u64 next_random(__u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545F4914F6CDD1DULL;
}

#endif
