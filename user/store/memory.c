/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Buckets by key, of its own or shared; see memory.h, and cells.h for how a key comes
 * to have one bucket without a lock.
 *
 * A key without room shares buckets of a second table. No way from one to the other
 * yields a token more than the limit: a bucket starts with the debt of the shared ones
 * behind it; who took from a shared one looks whether the key got a closer one
 * meanwhile, gives back, and starts again. One of the two sees the other: the claim of
 * a closer bucket is made before the debt is read, and a shared bucket is charged
 * before closer ones are looked for.
 *
 * Times are ticks of thr_bucket.h unless the name says otherwise.
 */
#include "store/memory.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "store/cells.h"
#include "store/stand.h"
#include "thr_bucket.h"

#define CELLS_LEAST 64
#define CELLS_MOST (1ULL << 40) /* a map of 16 TiB; keeps sums below from overflowing */
#define GROUP_SHARE 16		/* cells of the first table for one of the second */

/* Claims that are lost in a row, each to another taker of the same 16 cells, and
 * moves from a group to an own bucket and back, before the taking is refused. */
#define CLAIM_TRIES 16
#define PLACE_TRIES 4

#define LEVELS 3 /* own, group, second group: enum thr_memory_place up to NONE */
#define SLOTS 16 /* of counters, by CPU */

struct slot {
	uint64_t places[LEVELS + 1];
	uint64_t claims;
} __attribute__((aligned(128)));

/* The shared mapping. It holds numbers only: a process that is in a stranger's hands
 * can write any of them, and the others only ever compute with them. */
struct block {
	uint64_t crowded_until; /* groups may be in debt until; rarely written */
	struct slot slots[SLOTS];
	struct thr_cell cells[]; /* of both tables */
};

/* Where it lies and how large it is: each process has its own copy, made by fork(). */
struct thr_memory {
	struct thr_cell_table own, groups;
	struct thr_hash_key hash_key;
	struct block *block;
	size_t size; /* of the block, bytes */
};

/* A taking, in the units of the table. */
struct demand {
	struct thr_memory *memory;
	const struct thr_store_limit *limit;
	uint64_t spent; /* 0: only look */
	uint64_t now;
	const struct thr_memory_key *key;
	bool has_groups; /* level[1] and beyond are filled */
	struct thr_cells level[LEVELS];
};

/* --- buckets --- */

static struct slot *slot_of_cpu(struct thr_memory *memory)
{
	int cpu = sched_getcpu();

	return &memory->block->slots[(cpu < 0 ? 0 : (unsigned int)cpu) % SLOTS];
}

/* The slot's number and a count: no other claim has it until 2^18 more were made here. */
static uint64_t next_nonce(struct thr_memory *memory)
{
	struct slot *slot = slot_of_cpu(memory);
	uint64_t count = __atomic_fetch_add(&slot->claims, 1, __ATOMIC_RELAXED);

	return count * SLOTS + (uint64_t)(slot - memory->block->slots);
}

/* Raise the time until which groups are looked at for debt. It is set a second
 * ahead, so that those who take from groups rarely write to the line they share. */
static void mark_crowded(struct thr_memory *memory, uint64_t until)
{
	uint64_t ahead = until + ((uint64_t)1000000000 << THR_TICK_SHIFT);
	uint64_t seen = __atomic_load_n(&memory->block->crowded_until, __ATOMIC_SEQ_CST);

	while (seen < until)
		if (__atomic_compare_exchange_n(&memory->block->crowded_until, &seen, ahead, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return;
}

static void find_groups(struct demand *demand)
{
	const struct thr_memory *memory = demand->memory;

	if (demand->has_groups)
		return;
	demand->has_groups = true;
	for (unsigned int level = 1; level < LEVELS; level++) {
		const struct thr_hash *group = &demand->key->group[level - 1];
		struct thr_hash hash = thr_hash(&memory->hash_key, group, sizeof(*group));

		demand->level[level] = thr_cells_of(&memory->groups, &hash);
	}
}

/* The debt that a new bucket of `level` starts with: that of the buckets that the key
 * shared, or may have. */
static uint64_t debt_behind(struct demand *demand, unsigned int level)
{
	uint64_t debt = 0;

	if (__atomic_load_n(&demand->memory->block->crowded_until, __ATOMIC_SEQ_CST) <= demand->now)
		return 0;
	find_groups(demand);
	while (++level < LEVELS) {
		const struct thr_cell *cell = thr_cells_find(&demand->level[level]);
		struct thr_cell seen = cell ? thr_cell_read(cell) : (struct thr_cell){0};

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
static bool take_from(const struct demand *demand, struct thr_cell *cell, uint64_t tag,
		      struct thr_taking *ret_taking)
{
	for (;;) {
		struct thr_cell seen = thr_cell_read(cell);
		struct thr_taking taking;

		if (seen.tag != tag)
			return false;
		taking = judge(demand, seen.state);
		if (!demand->spent || taking.state == seen.state ||
		    thr_cell_swap(cell, seen, (struct thr_cell){tag, taking.state})) {
			*ret_taking = taking;
			return true;
		}
	}
}

/* Give back what was taken from the bucket of `tag`; a bucket that is gone, or does
 * not hold it, has been full since. */
static void give_back(const struct demand *demand, const struct thr_cells *cells)
{
	struct thr_cell *cell = thr_cells_find(cells);

	while (cell) {
		struct thr_cell seen = thr_cell_read(cell);

		if (seen.tag != cells->tag || seen.state < demand->spent ||
		    thr_cell_swap(cell, seen,
				  (struct thr_cell){seen.tag, seen.state - demand->spent}))
			return;
	}
}

/* Make the key a bucket in `cell` and take from it. Returns false when others were
 * faster. */
static bool take_anew(struct demand *demand, unsigned int level, struct thr_cell *cell,
		      struct thr_taking *ret_taking)
{
	const struct thr_cells *cells = &demand->level[level];
	struct thr_taking taking;
	struct thr_claim claim;

	if (!thr_cells_claim(cells, cell, demand->now, next_nonce(demand->memory), &claim))
		return false;
	if (!thr_cells_is_alone(cells, &claim)) {
		thr_cells_let_go(&claim);
		return false;
	}
	taking = judge(demand, debt_behind(demand, level));
	if (!thr_cells_commit(cells, &claim, taking.state))
		return false;
	*ret_taking = taking;
	return true;
}

/* Take from the key's bucket of `level`. Returns false when there is no room for
 * one, or when CLAIM_TRIES were lost to others. */
static bool take_at(struct demand *demand, unsigned int level, struct thr_taking *ret_taking)
{
	const struct thr_cells *cells = &demand->level[level];

	for (int try = 0; try < CLAIM_TRIES; try++) {
		struct thr_cell *cell = thr_cells_find(cells);

		if (cell) {
			if (take_from(demand, cell, cells->tag, ret_taking))
				return true;
			continue;
		}
		cell = thr_cells_room(cells, demand->now);
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
		if (thr_cells_has_any(&demand->level[level]))
			return true;
	return false;
}

static enum thr_memory_place take(struct demand *demand, struct thr_taking *ret_taking)
{
	for (int try = 0; try < PLACE_TRIES; try++) {
		unsigned int level = 0;

		while (!take_at(demand, level, ret_taking)) {
			if (++level == LEVELS)
				return THR_PLACE_NONE;
			find_groups(demand);
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

enum thr_memory_place thr_memory_take(struct thr_memory *memory, const struct thr_memory_key *key,
				      const struct thr_store_limit *limit, uint64_t cost,
				      uint64_t now_ns, struct thr_standing *ret_standing)
{
	struct demand demand = {
		.memory = memory,
		.limit = limit,
		.spent = thr_stand_spent(limit, cost),
		.now = now_ns << THR_TICK_SHIFT,
		.key = key,
		.level = {thr_cells_of(&memory->own, &key->key)},
	};
	struct thr_taking taking = {0};
	enum thr_memory_place place = take(&demand, &taking);

	if (place == THR_PLACE_NONE) {
		uint64_t at = thr_cells_room_at(&demand.level[0]);

		taking.state = demand.now + limit->window;
		taking.wait = at > demand.now ? at - demand.now : 1;
		thr_stand(limit, &taking, demand.now, ret_standing);
		if (cost > limit->burst)
			ret_standing->retry_ns = UINT64_MAX;
	} else {
		thr_stand_after(limit, cost, &taking, demand.now, ret_standing);
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
	return (cells + THR_LINE_CELLS - 1) / THR_LINE_CELLS;
}

static int map_block(struct thr_memory *memory)
{
	uint64_t lines = memory->own.lines + memory->groups.lines;
	size_t size = sizeof(*memory->block) + lines * THR_LINE_CELLS * sizeof(struct thr_cell);
	struct block *block = mmap(NULL, size, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (block == MAP_FAILED)
		return -errno;
	memory->block = block;
	memory->size = size;
	memory->own.cells = block->cells;
	memory->groups.cells = block->cells + memory->own.lines * THR_LINE_CELLS;
	return 0;
}

int thr_memory_new(uint64_t max_keys, struct thr_memory **ret_memory)
{
	struct thr_memory *memory;
	int r;

	if (!max_keys || max_keys > CELLS_MOST)
		return -EINVAL;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	memory->own.lines = lines_for(max_keys + (max_keys + 7) / 8);
	memory->groups.lines = lines_for(memory->own.lines * THR_LINE_CELLS / GROUP_SHARE);
	r = map_block(memory);
	if (!r &&
	    getrandom(&memory->hash_key, sizeof(memory->hash_key), 0) != sizeof(memory->hash_key))
		r = -EIO;
	if (r)
		thr_memory_free(memory);
	else
		*ret_memory = memory;
	return r;
}

void thr_memory_free(struct thr_memory *memory)
{
	if (!memory)
		return;
	if (memory->block)
		munmap(memory->block, memory->size);
	free(memory);
}

const struct thr_hash_key *thr_memory_hash_key(const struct thr_memory *memory)
{
	return &memory->hash_key;
}

uint64_t thr_memory_cells(const struct thr_memory *memory)
{
	return (memory->own.lines + memory->groups.lines) * THR_LINE_CELLS;
}

uint64_t thr_memory_used(const struct thr_memory *memory, uint64_t now_ns)
{
	uint64_t now = now_ns << THR_TICK_SHIFT;

	return thr_cells_used(&memory->own, now) + thr_cells_used(&memory->groups, now);
}

static uint64_t count_of(const struct thr_memory *memory, enum thr_memory_place place)
{
	uint64_t count = 0;

	for (size_t i = 0; i < SLOTS; i++)
		count += __atomic_load_n(&memory->block->slots[i].places[place], __ATOMIC_RELAXED);
	return count;
}

void thr_memory_count(const struct thr_memory *memory, struct thr_memory_counts *ret_counts)
{
	ret_counts->own = count_of(memory, THR_PLACE_OWN);
	ret_counts->group = count_of(memory, THR_PLACE_GROUP);
	ret_counts->group2 = count_of(memory, THR_PLACE_GROUP2);
	ret_counts->none = count_of(memory, THR_PLACE_NONE);
}
