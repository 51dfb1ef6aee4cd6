/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The gate: a fixed array of buckets (cells) that stands before the table of
 * buckets that sources have of their own. A flood from millions of addresses
 * finds its cells there already, makes no entry and evicts none.
 *
 * A bucket's key leads to one cell, by a seeded hash. The cell's debt is the sum
 * of what its sources took through it, so while a taking conforms to the cell, it
 * conforms to the source's limit all the more. Only where the cell is over does
 * it matter whose debt that is:
 *
 *   idle (no debt)         -> the cell is the taker's: its owner
 *   owner's, and over      -> OVER: the cell is the owner's bucket, exact
 *   another's or several',
 *     and conforming       -> PASSED: now the cell is several sources'
 *     and over             -> SHARED: ask the source's own bucket (limit.h), and
 *                             where that lets it pass, gate_note() it here: now
 *                             the cell is several sources'
 *
 * A cell is several sources' until it is idle again.
 *
 * What it cannot get wrong. Let r and b be a source's rate and burst.
 *   - A source alone in its cell gets r and b exactly.
 *   - No source gets more than r * t + 2b in any time t, whoever shares its cell, on
 *     purpose too. All that it takes, on its own bucket as well, is a debt of the
 *     cell, up to 2b. Let T be what it took less what its limit has given back
 *     since; then T never exceeds the cell's debt, nor 2b: after a taking through
 *     the cell, both are at most b; until the next one its own bucket lets T grow by
 *     b; and a debt that was cut off at 2b is no less than T. So it gets b through
 *     the cell again only when T is that low again: in the long run never above r.
 *     An entry evicted from the table of own buckets gives b more: the budget for
 *     promotions says how often that may be (limit.h).
 *
 * Races between CPUs can get it wrong, once a CPU each time that a cell is idle. Its
 * taker charges it, and then names itself its owner: what others took in between is
 * held to be the taker's. That is a taking a CPU, mostly; but all that the cell can
 * have, where a virtual CPU is stopped just there, or after it took from a cell that
 * is another's and before it names it several sources'. Until another's taking passes,
 * or the cell is idle again,
 *   - the owner is refused for their debt without its own bucket being asked: it may
 *     miss its burst, but not its rate, as to its takings a debt beyond b counts as b;
 *   - what was beyond that is forgotten: each of the others, if its burst takes longer
 *     to come back than the owner's does, may have up to 2b again.
 * A cell that is named several sources' too late, when it is one's alone again, costs
 * that one a bucket of its own.
 *
 * What it can get wrong. An innocent source is held back where its cell is over on
 * others' account, it has no own bucket, and the promotion budget is used up. With n
 * packets a second of other sources spread over m cells, a cell gets n/m: its load
 * is p = n / (m * r). Below p = 1, the chance that a cell is over is at most
 * exp(-z * (b - 1)), with z the positive root of p * (exp(z) - 1) = z (the
 * Cramer-Lundberg bound for Poisson arrivals at a server of constant speed: here
 * tokens that drain at r): for p = 0.5, z = 1.26, so 0.7 % at b = 5 and 1e-10 at
 * b = 20. From p = 1 on cells are over, and the budgets decide.
 *
 * The hash is multilinear: the sum of the key's 32-bit words, each times a random
 * 64-bit number, plus another. Its upper 33 bits are strongly universal (Lemire and
 * Kaser, "Strongly universal string hashing is fast", 2014, theorem 1), so for any
 * two keys, chosen as one likes without knowing the seed, the chance of a common
 * cell is 1/m. But the sums of a run of addresses are equally spaced, and under one
 * seed in fourteen they would crowd in some cells: so the upper 33 bits are mixed, one
 * to one, which takes nothing from that chance. All 64 bits name the owner: two keys
 * have the same name with a chance of at most 2^-33.
 *
 * Pure but for the atomic operations on the cell: tests run it on the host. Times
 * are ticks (thr_bucket.h).
 */
#ifndef THR_GATE_H
#define THR_GATE_H

enum gate_verdict { GATE_PASSED, GATE_OVER, GATE_SHARED };

struct gate_taking {
	__u64 now;
	__u64 window;
	__u64 spent; /* ticks to take */
	__u64 wait;  /* after a refusal of the cell: ticks until it would conform */
};

#define GATE_HASH_WEAK 31 /* lower bits of the sum, which do not choose the cell */
#define GATE_HASH_MIX 0x9E3779B97F4A7C15ULL /* 2^64 divided by the golden ratio; odd */

static inline __attribute__((always_inline)) __u64 gate_hash(const __u64 seed[THR_SEEDS],
							     const struct thr_bucket_key *key,
							     __u32 kind)
{
	__u32 last = key->scope | kind << 24 | key->is_v6 << 28;
	__u64 sum = seed[0] + seed[1] * (__u32)key->source[0] + seed[2] * (key->source[0] >> 32) +
		    seed[3] * (__u32)key->source[1] + seed[4] * (key->source[1] >> 32) +
		    seed[5] * last;
	__u64 upper = sum >> GATE_HASH_WEAK;

	upper = (upper ^ upper >> 17) * GATE_HASH_MIX;
	return upper << GATE_HASH_WEAK | (sum & ((1ULL << GATE_HASH_WEAK) - 1));
}

/* Take from a cell that holds other sources' debt. No debt is forgiven here: it
 * may be of a limit with a longer window. */
static inline __attribute__((always_inline)) enum gate_verdict gate_take_shared(
	struct thr_cell *cell, __u64 seen, struct gate_taking *taking)
{
	for (int i = 0; i < THR_BUCKET_TRIES; i++) {
		__u64 base = seen > taking->now ? seen : taking->now;
		__u64 found;

		if (base + taking->spent > taking->now + taking->window) {
			taking->wait = base + taking->spent - (taking->now + taking->window);
			return GATE_SHARED;
		}
		found = __sync_val_compare_and_swap(&cell->tat, seen, base + taking->spent);
		if (found == seen) {
			*(volatile __u64 *)&cell->owner = 0;
			return GATE_PASSED;
		}
		seen = found;
	}
	return GATE_SHARED;
}

/* Take from the cell that `hash` leads to; after GATE_PASSED it is charged, otherwise not. */
static inline __attribute__((always_inline)) enum gate_verdict gate_take(struct thr_cell *cell,
									 __u64 hash,
									 struct gate_taking *taking)
{
	__u64 seen = *(volatile __u64 *)&cell->tat;
	__u64 owner = *(volatile __u64 *)&cell->owner;
	__u64 self = hash ? hash : 1; /* 0 is no owner */

	if (owner != self && seen > taking->now)
		return gate_take_shared(cell, seen, taking);
	taking->wait = thr_bucket_charge(&cell->tat, taking->now, taking->window, taking->spent);
	if (taking->wait)
		return GATE_OVER;
	if (owner != self)
		*(volatile __u64 *)&cell->owner = self;
	return GATE_PASSED;
}

/*
 * After GATE_SHARED, the source's own bucket let the taking pass: make it a debt of
 * the cell as well, up to two windows of it, and the cell several sources'. Also
 * where it was one's alone: what passes beside the cell's account could be taken
 * again from the cell, as soon as that is free. Where others change it so much that
 * every try is lost, they charge it enough. Returns whether all of it was charged.
 */
static inline __attribute__((always_inline)) bool gate_note(struct thr_cell *cell,
							    const struct gate_taking *taking)
{
	__u64 most = taking->now + 2 * taking->window;
	__u64 seen = *(volatile __u64 *)&cell->tat;

	for (int i = 0; i < THR_BUCKET_TRIES; i++) {
		__u64 sum = (seen > taking->now ? seen : taking->now) + taking->spent;
		__u64 found;

		if (seen >= most)
			return false;
		found = __sync_val_compare_and_swap(&cell->tat, seen, sum < most ? sum : most);
		if (found == seen) {
			*(volatile __u64 *)&cell->owner = 0;
			return sum <= most;
		}
		seen = found;
	}
	return false;
}

#endif
