/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A table of token buckets that any number of threads and processes change at the
 * same time without a lock, in which a key never has two buckets and a bucket is
 * never forgotten while its key is in debt.
 *
 * A cell is 16 bytes, a tag (64 bits of the key's hash) and the bucket's state, and
 * is only ever changed as a whole, by a 16-byte compare-and-swap. That one decision
 * makes each step safe alone: who takes a token finds out in the same instruction
 * when the cell has gone to another key, and who gives a cell to another key finds
 * out when a token was taken from it.
 *
 *      free --- claim ---> claimed by T --- commit ---> bucket of T --.
 *       ^                       |                                     | takings
 *       '---- let go, or killed '         <--- claim by another key --'
 *                                              once forgettable
 *
 * Claimed is the tag's low bit, which a bucket's tag does not have. A cell is
 * forgettable once its state lies THR_CLOCK_SKEW in the past: the bucket has been
 * full by every clock, so a new one says the same. That is also how a claim ends
 * whose process died: its state is the time it was made.
 *
 * One bucket a key: (1) look in the key's 16 cells for its bucket; (2) when there is
 * none, claim a forgettable cell; (3) look again: let the claim go when there is a
 * bucket now, kill other claims of the key; (4) commit the claim, which fails when
 * it was killed: start again. Of two who claim at once, the one that looks last sees
 * the other's claim, which it kills, or the other's bucket, which it uses. What
 * makes a claim, its nonce, never comes twice, so no commit can take another's
 * claim for its own. Compare-and-swap is a full barrier, loads are sequentially
 * consistent.
 *
 * The 16 cells are two runs of 8, from two parts of the hash, and a claim is made in
 * the emptier run (the power of two choices; Azar and others, 1994): in a table with
 * `max_keys` keys of 9/8 as many cells, 0.8 % find no room (one run of 16: 4.4 %),
 * up to three quarters of `max_keys` none.
 *
 * A key without room shares buckets of the second table. When it gets a bucket of
 * its own again, that one starts with the debt of the shared ones; and who took
 * from a shared one looks whether the key got its own meanwhile, gives back, and
 * starts again. So no way from one to the other yields a token more.
 *
 * Times are ticks of thr_bucket.h unless the name says otherwise.
 */
#include "store/memory.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "thr_bucket.h"

#define LINE_CELLS 4 /* of 16 bytes in a cache line of 64 */
#define RUN_CELLS 8  /* two lines */
#define RUNS 2
#define KEY_CELLS (RUNS * RUN_CELLS)
#define CELLS_LEAST 64
#define CELLS_MOST (1ULL << 40) /* a map of 16 TiB; keeps sums below from overflowing */
#define GROUP_SHARE 16		/* cells of the first table for one of the second */

#define CLAIMED 1ULL
#define NONCE_BITS 22 /* of a claim's state: 262 us, far within THR_CLOCK_SKEW */

/* Claims that are lost in a row, each to another taker of the same 16 cells, and
 * moves from a group to an own bucket and back, before the taking is refused. */
#define CLAIM_TRIES 16
#define PLACE_TRIES 4

#define LEVELS 3 /* own, group, second group: enum thr_memory_place up to NONE */
#define SLOTS 16 /* of counters, by CPU */

struct cell {
	uint64_t tag; /* 0: free */
	uint64_t state;
} __attribute__((aligned(16)));

struct table {
	struct cell *cells;
	uint64_t lines;
};

struct slot {
	uint64_t places[LEVELS + 1];
	uint64_t claims;
} __attribute__((aligned(128)));

/* All of it lies in the shared mapping, at the same address in every process. */
struct thr_memory {
	struct table own, groups;
	size_t size; /* of the mapping, bytes */
	struct thr_hash_key hash_key;
	uint64_t crowded_until __attribute__((aligned(128))); /* groups may be in debt until */
	struct slot slots[SLOTS];
};

/* The cells in which a hash may have its bucket. */
struct places {
	struct cell *run[RUNS];
	uint64_t tag;
};

/* A taking, in the units of the table. */
struct demand {
	struct thr_memory *memory;
	const struct thr_store_limit *limit;
	uint64_t spent; /* 0: only look */
	uint64_t now;
	struct places level[LEVELS];
};

/* --- cells --- */

/* Put `then` in the place of `seen`, both words at once; a full barrier. Compilers
 * have a builtin for it, but clang makes that a call to a library unless it may
 * assume cmpxchg16b, which every x86-64 processor since 2006 has. */
static inline bool cell_swap(struct cell *at, struct cell seen, struct cell then)
{
#ifdef __x86_64__
	bool swapped;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(swapped), "+m"(*at), "+a"(seen.tag), "+d"(seen.state)
			 : "b"(then.tag), "c"(then.state)
			 : "memory");
	return swapped;
#else
	union wide {
		struct cell cell;
		unsigned __int128 bits;
	} from = {.cell = seen}, to = {.cell = then};

	return __sync_bool_compare_and_swap(&((union wide *)at)->bits, from.bits, to.bits);
#endif
}

static uint64_t cell_tag(const struct cell *at)
{
	return __atomic_load_n(&at->tag, __ATOMIC_SEQ_CST);
}

/* The state is read first: it is then that of the tag, or of an owner before, and
 * that one was forgettable, so that nobody is refused for it. A swap finds out. */
static struct cell cell_read(const struct cell *at)
{
	struct cell seen;

	seen.state = __atomic_load_n(&at->state, __ATOMIC_SEQ_CST);
	seen.tag = cell_tag(at);
	return seen;
}

static bool is_forgettable(struct cell cell, uint64_t now)
{
	return !cell.tag || cell.state + THR_CLOCK_SKEW <= now;
}

/* --- a key's cells --- */

/* The line that a run of cells starts with, by the upper bits of `hash`. */
static struct cell *run_of(const struct table *table, uint64_t hash)
{
	uint64_t starts = table->lines - RUN_CELLS / LINE_CELLS + 1;

	return table->cells + (uint64_t)((unsigned __int128)hash * starts >> 64) * LINE_CELLS;
}

static struct places places_of(const struct table *table, const struct thr_hash *hash)
{
	struct places places = {
		.run = {run_of(table, hash->word[0]), run_of(table, hash->word[1])},
		.tag = hash->word[1] & ~CLAIMED,
	};

	if (!places.tag)
		places.tag = CLAIMED + 1;
	return places;
}

static struct cell *place_cell(const struct places *places, size_t i)
{
	return places->run[i / RUN_CELLS] + i % RUN_CELLS;
}

/* The key's bucket, or NULL; with `claims`, a claim of it will do. */
static struct cell *find(const struct places *places, bool claims)
{
	for (size_t i = 0; i < KEY_CELLS; i++) {
		struct cell *cell = place_cell(places, i);

		if ((cell_tag(cell) & ~(claims ? CLAIMED : 0)) == places->tag)
			return cell;
	}
	return NULL;
}

/* The first forgettable cell of the run that has the most, or NULL. */
static struct cell *find_room(const struct places *places, uint64_t now)
{
	struct cell *room = NULL;
	size_t most = 0;

	for (size_t run = 0; run < RUNS; run++) {
		struct cell *first = NULL;
		size_t count = 0;

		for (size_t i = RUN_CELLS; i--;) {
			struct cell *cell = places->run[run] + i;

			if (!is_forgettable(cell_read(cell), now))
				continue;
			first = cell;
			count++;
		}
		if (count > most) {
			most = count;
			room = first;
		}
	}
	return room;
}

/* When the first of the key's cells becomes forgettable; it is in the future. */
static uint64_t room_at(const struct places *places)
{
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < KEY_CELLS; i++) {
		struct cell seen = cell_read(place_cell(places, i));

		if (seen.state < first)
			first = seen.state;
	}
	return first + THR_CLOCK_SKEW;
}

/* --- claims --- */

static struct slot *slot_of_cpu(struct thr_memory *memory)
{
	int cpu = sched_getcpu();

	return &memory->slots[(cpu < 0 ? 0 : (unsigned int)cpu) % SLOTS];
}

/* A state of about `now` that no other claim of the same 262 us has: the number of
 * the slot and a count of 2^18 in it. */
static uint64_t claim_nonce(struct thr_memory *memory, uint64_t now)
{
	struct slot *slot = slot_of_cpu(memory);
	uint64_t count = __atomic_fetch_add(&slot->claims, 1, __ATOMIC_RELAXED);
	uint64_t nonce = count * SLOTS + (uint64_t)(slot - memory->slots);

	return now >> NONCE_BITS << NONCE_BITS | (nonce & ((1ULL << NONCE_BITS) - 1));
}

/* Whether the key has neither a bucket nor a claim but `mine`; kills other claims. */
static bool is_alone(const struct places *places, const struct cell *mine)
{
	for (size_t i = 0; i < KEY_CELLS; i++) {
		struct cell *cell = place_cell(places, i);
		struct cell seen;

		if (cell == mine)
			continue;
		do {
			seen = cell_read(cell);
			if (seen.tag == places->tag)
				return false;
		} while (seen.tag == (places->tag | CLAIMED) &&
			 !cell_swap(cell, seen, (struct cell){0}));
	}
	return true;
}

/* --- buckets --- */

/* Raise the time until which groups are looked at for debt. It is set a second
 * ahead, so that those who take from groups rarely write to the line they share. */
static void mark_crowded(struct thr_memory *memory, uint64_t until)
{
	uint64_t ahead = until + ((uint64_t)1000000000 << THR_TICK_SHIFT);
	uint64_t seen = __atomic_load_n(&memory->crowded_until, __ATOMIC_SEQ_CST);

	while (seen < until)
		if (__atomic_compare_exchange_n(&memory->crowded_until, &seen, ahead, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return;
}

/* The debt that a new bucket of `level` starts with: that of the buckets that the key
 * shared, or may have. */
static uint64_t debt_behind(const struct demand *demand, unsigned int level)
{
	uint64_t debt = 0;

	if (__atomic_load_n(&demand->memory->crowded_until, __ATOMIC_SEQ_CST) <= demand->now)
		return 0;
	while (++level < LEVELS) {
		const struct cell *cell = find(&demand->level[level], false);
		struct cell seen = cell ? cell_read(cell) : (struct cell){0};

		if (seen.tag == demand->level[level].tag && seen.state > debt)
			debt = seen.state;
	}
	return debt;
}

static struct thr_taking judge(const struct demand *demand, uint64_t state)
{
	return thr_bucket_judge(state, demand->now, demand->limit->window, demand->spent);
}

/*
 * Take from the bucket of `tag` in `cell`. Returns false when it is not there any
 * more. Each swap that is lost to another taker is a token that it got, so the loop
 * ends with the bucket's tokens at the latest.
 */
static bool take_from(const struct demand *demand, struct cell *cell, uint64_t tag,
		      struct thr_taking *ret_taking)
{
	for (;;) {
		struct cell seen = cell_read(cell);
		struct thr_taking taking;

		if (seen.tag != tag)
			return false;
		taking = judge(demand, seen.state);
		if (!demand->spent || taking.state == seen.state ||
		    cell_swap(cell, seen, (struct cell){tag, taking.state})) {
			*ret_taking = taking;
			return true;
		}
	}
}

/* Give back what was taken from the bucket of `tag`; a bucket that is gone, or does
 * not hold it, has been full since. */
static void give_back(const struct demand *demand, const struct places *places)
{
	struct cell *cell = find(places, false);

	while (cell) {
		struct cell seen = cell_read(cell);

		if (seen.tag != places->tag || seen.state < demand->spent ||
		    cell_swap(cell, seen, (struct cell){seen.tag, seen.state - demand->spent}))
			return;
	}
}

/* Make the key a bucket in `cell`, whose content is `seen`, and take from it. Returns
 * false when others were faster. */
static bool take_anew(const struct demand *demand, unsigned int level, struct cell *cell,
		      struct thr_taking *ret_taking)
{
	const struct places *places = &demand->level[level];
	struct cell seen = cell_read(cell), claim, bucket;
	struct thr_taking taking;

	claim.tag = places->tag | CLAIMED;
	claim.state = claim_nonce(demand->memory, demand->now);
	if (!is_forgettable(seen, demand->now) || !cell_swap(cell, seen, claim))
		return false;
	if (!is_alone(places, cell)) {
		cell_swap(cell, claim, (struct cell){0});
		return false;
	}
	taking = judge(demand, debt_behind(demand, level));
	bucket.tag = places->tag;
	bucket.state = taking.state;
	if (!cell_swap(cell, claim, bucket))
		return false;
	*ret_taking = taking;
	return true;
}

/* Take from the key's bucket of `level`. Returns false when there is no room for
 * one, or when CLAIM_TRIES were lost to others. */
static bool take_at(const struct demand *demand, unsigned int level, struct thr_taking *ret_taking)
{
	const struct places *places = &demand->level[level];

	for (int try = 0; try < CLAIM_TRIES; try++) {
		struct cell *cell = find(places, false);

		if (cell) {
			if (take_from(demand, cell, places->tag, ret_taking))
				return true;
			continue;
		}
		cell = find_room(places, demand->now);
		if (!cell)
			return false;
		if (!demand->spent) {
			*ret_taking = judge(demand, debt_behind(demand, level));
			return true;
		}
		if (take_anew(demand, level, cell, ret_taking))
			return true;
	}
	return false;
}

/* Whether the key has, or is getting, a bucket closer than that of `level`. */
static bool has_closer(const struct demand *demand, unsigned int level)
{
	while (level--)
		if (find(&demand->level[level], true))
			return true;
	return false;
}

static enum thr_memory_place take(const struct demand *demand, struct thr_taking *ret_taking)
{
	for (int try = 0; try < PLACE_TRIES; try++) {
		unsigned int level = 0;

		while (!take_at(demand, level, ret_taking)) {
			if (++level == LEVELS)
				return THR_PLACE_NONE;
			if (demand->spent)
				mark_crowded(demand->memory, demand->now + demand->limit->window);
		}
		if (!demand->spent || !has_closer(demand, level))
			return (enum thr_memory_place)level;
		if (!ret_taking->wait)
			give_back(demand, &demand->level[level]);
	}
	return THR_PLACE_NONE;
}

/* --- what it comes to --- */

static uint64_t ns_up(uint64_t ticks)
{
	return (ticks + (1ULL << THR_TICK_SHIFT) - 1) >> THR_TICK_SHIFT;
}

/* The most tokens for which thr_bucket_ticks() is not over `held`. */
static uint64_t whole_tokens(const struct thr_store_limit *limit, uint64_t held)
{
	unsigned __int128 below = (unsigned __int128)(held + 1) << THR_INTERVAL_TO_TICK;
	uint64_t tokens = (uint64_t)((below - 1) / limit->interval);

	return tokens < limit->burst ? tokens : limit->burst;
}

static void stand(const struct demand *demand, const struct thr_taking *taking,
		  struct thr_standing *ret_standing)
{
	const struct thr_store_limit *limit = demand->limit;
	uint64_t owed = taking->state > demand->now ? taking->state - demand->now : 0;
	uint64_t held = owed < limit->window ? limit->window - owed : 0;

	ret_standing->remaining = whole_tokens(limit, held);
	ret_standing->reset_ns = ns_up(owed);
	ret_standing->retry_ns = ns_up(taking->wait);
	ret_standing->allowed = !taking->wait;
}

/* How a look is told: by whether one token could be had. */
static void stand_for_one(const struct demand *demand, struct thr_taking *taking)
{
	struct demand one = *demand;

	one.spent = thr_bucket_ticks(demand->limit->interval, 1);
	taking->wait = judge(&one, taking->state).wait;
}

enum thr_memory_place thr_memory_take(struct thr_memory *memory, const struct thr_memory_key *key,
				      const struct thr_store_limit *limit, uint64_t cost,
				      uint64_t now_ns, struct thr_standing *ret_standing)
{
	bool over = cost > limit->burst, look = !cost || over;
	struct demand demand = {
		.memory = memory,
		.limit = limit,
		.spent = look ? 0 : thr_bucket_ticks(limit->interval, cost),
		.now = now_ns << THR_TICK_SHIFT,
		.level = {places_of(&memory->own, &key->key),
			  places_of(&memory->groups, &key->group[0]),
			  places_of(&memory->groups, &key->group[1])},
	};
	struct thr_taking taking = {0};
	enum thr_memory_place place = take(&demand, &taking);

	ret_standing->limit = limit->burst;
	ret_standing->window_ns = limit->window_ns;
	if (place == THR_PLACE_NONE) {
		uint64_t at = room_at(&demand.level[0]);

		taking.state = demand.now + limit->window;
		taking.wait = at > demand.now ? at - demand.now : 1;
	} else if (look) {
		stand_for_one(&demand, &taking);
	}
	stand(&demand, &taking, ret_standing);
	if (over) {
		ret_standing->allowed = false;
		ret_standing->retry_ns = UINT64_MAX;
	}
	if (cost)
		__atomic_fetch_add(&slot_of_cpu(memory)->places[place], 1, __ATOMIC_RELAXED);
	return place;
}

/* --- the table --- */

struct thr_store_limit thr_store_limit_of(const struct thr_rate *rate)
{
	unsigned __int128 window_ns = (unsigned __int128)rate->burst * rate->per_s * 1000000000;
	struct thr_store_limit limit = {
		.interval = thr_bucket_interval(rate->count, rate->per_s),
		.burst = rate->burst,
		.per_s = rate->per_s,
		.count = rate->count,
	};

	limit.window = thr_bucket_ticks(limit.interval, limit.burst);
	limit.window_ns = (uint64_t)((window_ns + rate->count - 1) / rate->count);
	return limit;
}

static uint64_t lines_for(uint64_t cells)
{
	if (cells < CELLS_LEAST)
		cells = CELLS_LEAST;
	return (cells + LINE_CELLS - 1) / LINE_CELLS;
}

int thr_memory_new(uint64_t max_keys, struct thr_memory **ret_memory)
{
	uint64_t own_lines, group_lines, lines;
	struct thr_memory *memory;
	size_t size;

	if (!max_keys || max_keys > CELLS_MOST)
		return -EINVAL;
	own_lines = lines_for(max_keys + (max_keys + 7) / 8);
	group_lines = lines_for(own_lines * LINE_CELLS / GROUP_SHARE);
	lines = own_lines + group_lines;
	size = sizeof(*memory) + lines * LINE_CELLS * sizeof(struct cell);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	memory->size = size;
	memory->own.cells = (struct cell *)(memory + 1);
	memory->own.lines = own_lines;
	memory->groups.cells = memory->own.cells + own_lines * LINE_CELLS;
	memory->groups.lines = group_lines;
	if (getrandom(&memory->hash_key, sizeof(memory->hash_key), 0) != sizeof(memory->hash_key)) {
		thr_memory_free(memory);
		return -EIO;
	}
	*ret_memory = memory;
	return 0;
}

void thr_memory_free(struct thr_memory *memory)
{
	if (memory)
		munmap(memory, memory->size);
}

const struct thr_hash_key *thr_memory_hash_key(const struct thr_memory *memory)
{
	return &memory->hash_key;
}

uint64_t thr_memory_cells(const struct thr_memory *memory)
{
	return (memory->own.lines + memory->groups.lines) * LINE_CELLS;
}

static uint64_t count_of(const struct thr_memory *memory, enum thr_memory_place place)
{
	uint64_t count = 0;

	for (size_t i = 0; i < SLOTS; i++)
		count += __atomic_load_n(&memory->slots[i].places[place], __ATOMIC_RELAXED);
	return count;
}

void thr_memory_count(const struct thr_memory *memory, struct thr_memory_counts *ret_counts)
{
	ret_counts->own = count_of(memory, THR_PLACE_OWN);
	ret_counts->group = count_of(memory, THR_PLACE_GROUP);
	ret_counts->group2 = count_of(memory, THR_PLACE_GROUP2);
	ret_counts->none = count_of(memory, THR_PLACE_NONE);
}
