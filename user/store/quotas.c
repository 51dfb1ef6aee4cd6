/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Open addressing with linear probing over tags of 64 bits; what a tag stands for is in
 * an array of its own, each entry twice, under a sequence that says which of the two is to
 * be read: its writer sends readers to the second, changes the first, sends them back, and
 * changes the second. Who finds that the sequence moved while he read reads again. So a
 * reader never waits for a writer, which may lose its processor at any point, and to him a
 * key that is changed is there all the while. The table ends with its writer.
 *
 * A removed entry leaves a grave, which a new one may take. Graves use up the free places
 * in time, so that searches must not need one: they end after as many places as a key was
 * ever put behind its first. Graves before a free place are cleared, so that most end there.
 *
 * Versions are in an array of their own too, by which lists are made: where a key lies depends
 * on what was there when it came, its version does not. So a list that was begun by one table
 * can be continued by another one of the same quotas.
 */
#include "store/quotas.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/rate.h"
#include "thr_bucket.h"

#define FREE 0
#define GRAVE 1
#define PLACES_LEAST 64 /* a power of two */

struct content {
	struct thr_quota quota;
	uint16_t key_length;
	char key[THR_KEY_MAX];
};

struct entry {
	uint32_t sequence; /* even: the first is to be read; odd: the second */
	struct content content[2];
};

/* The mapping. */
struct block {
	uint64_t count;	 /* of keys */
	uint64_t reach;	 /* no key is so many places behind its first */
	uint64_t tags[]; /* of `places`, then as many versions, then as many entries */
};

struct thr_quotas {
	uint64_t max, places;
	struct block *block;
	uint64_t *versions;    /* of the block; 0: nothing is set there */
	struct entry *entries; /* of the block */
	size_t size;	       /* of the block, bytes */
	int fd;		       /* -1: not shared */
};

/* --- a quota and a condition --- */

int thr_quota_make(uint64_t capacity, double refill_per_s, enum thr_on_error on_error,
		   struct thr_quota *ret_quota, const char **ret_why)
{
	struct thr_quota quota = {
		.capacity = capacity,
		.refill_per_s = refill_per_s,
		.on_error = on_error,
	};

	if (!capacity || capacity > THR_COUNT_MAX) {
		*ret_why = "write a capacity of 1 to 2^40";
		return -ERANGE;
	}
	switch (thr_refill_check(refill_per_s, capacity)) {
	case 0:
		break;
	case -EINVAL:
		*ret_why =
			"write a refill_per_second over 0, of at least 0.0001: a token in 10,000 s";
		return -ERANGE;
	case -EDOM:
		*ret_why = "write a refill_per_second below 1e15, by which the capacity takes at "
			   "least 1/16 ns to come back";
		return -ERANGE;
	default:
		*ret_why = "write a refill_per_second by which the capacity comes back within 416 "
			   "days";
		return -ERANGE;
	}
	quota.limit.interval = thr_refill_interval(refill_per_s);
	quota.limit.burst = capacity;
	quota.limit.window = thr_bucket_ticks(quota.limit.interval, capacity);
	quota.limit.window_ns = (quota.limit.window + (1 << THR_TICK_SHIFT) - 1) >> THR_TICK_SHIFT;
	*ret_quota = quota;
	return 0;
}

bool thr_condition_holds(const struct thr_condition *condition, uint64_t version)
{
	bool matches = condition->any && version;

	for (size_t i = 0; i < condition->count; i++)
		matches |= version && condition->version[i] == version;
	if (condition->kind == THR_ALWAYS)
		return true;
	return matches == (condition->kind == THR_IF_MATCH);
}

/* --- the table --- */

static uint64_t tag_of(const struct thr_hash *hash)
{
	return hash->word[0] > GRAVE ? hash->word[0] : hash->word[0] + 2;
}

/* The seal lets nobody map the table for writing any more, but for whom has it already. */
static int map_shared(struct thr_quotas *quotas)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
	void *block;

	quotas->fd = memfd_create("xdp-throttle quotas", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (quotas->fd < 0 || ftruncate(quotas->fd, (off_t)quotas->size) < 0)
		return -errno;
	block = mmap(NULL, quotas->size, PROT_READ | PROT_WRITE, MAP_SHARED, quotas->fd, 0);
	if (block == MAP_FAILED)
		return -errno;
	quotas->block = block;
	return fcntl(quotas->fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

static int map_private(struct thr_quotas *quotas)
{
	void *block = mmap(NULL, quotas->size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (block == MAP_FAILED)
		return -errno;
	quotas->block = block;
	return 0;
}

int thr_quotas_new(uint64_t max, bool shared, struct thr_quotas **ret_quotas)
{
	struct thr_quotas *quotas = calloc(1, sizeof(*quotas));
	int r;

	if (!quotas)
		return -ENOMEM;
	quotas->fd = -1;
	quotas->max = max;
	for (quotas->places = PLACES_LEAST; quotas->places < 2 * max; quotas->places *= 2)
		;
	quotas->size = sizeof(*quotas->block) +
		       quotas->places * (sizeof(quotas->block->tags[0]) +
					 sizeof(quotas->versions[0]) + sizeof(struct entry));
	r = shared ? map_shared(quotas) : map_private(quotas);
	if (r < 0) {
		thr_quotas_free(quotas);
		return r;
	}
	quotas->versions = quotas->block->tags + quotas->places;
	quotas->entries = (struct entry *)(quotas->versions + quotas->places);
	*ret_quotas = quotas;
	return 0;
}

void thr_quotas_free(struct thr_quotas *quotas)
{
	if (!quotas)
		return;
	if (quotas->block)
		munmap(quotas->block, quotas->size);
	if (quotas->fd >= 0)
		close(quotas->fd);
	free(quotas);
}

int thr_quotas_read_only(struct thr_quotas *quotas)
{
	void *block =
		mmap(quotas->block, quotas->size, PROT_READ, MAP_SHARED | MAP_FIXED, quotas->fd, 0);

	if (block == MAP_FAILED)
		return -errno;
	close(quotas->fd);
	quotas->fd = -1;
	return 0;
}

/* To read an entry as a whole: content[*sequence & 1], again while this says so. */
static bool reads_again(const struct entry *entry, uint32_t *sequence)
{
	uint32_t before = *sequence;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	*sequence = __atomic_load_n(&entry->sequence, __ATOMIC_ACQUIRE);
	return *sequence != before;
}

/* The quota of an entry, if it has this key. */
static bool read_entry(const struct entry *entry, struct thr_slice key, struct thr_quota *ret_quota)
{
	uint32_t sequence = __atomic_load_n(&entry->sequence, __ATOMIC_ACQUIRE);
	struct thr_quota quota;
	bool same;

	do {
		const struct content *content = &entry->content[sequence & 1];

		quota = content->quota;
		same = content->key_length == key.length &&
		       memcmp(content->key, key.at, key.length) == 0;
	} while (reads_again(entry, &sequence));
	if (same)
		*ret_quota = quota;
	return same;
}

/* The place of a key, or -1. */
static int64_t find(const struct thr_quotas *quotas, const struct thr_hash *hash,
		    struct thr_slice key, struct thr_quota *ret_quota)
{
	uint64_t reach = __atomic_load_n(&quotas->block->reach, __ATOMIC_ACQUIRE);
	uint64_t tag = tag_of(hash), mask = quotas->places - 1;

	for (uint64_t i = 0; i < reach; i++) {
		uint64_t place = (hash->word[1] + i) & mask;
		uint64_t seen = __atomic_load_n(&quotas->block->tags[place], __ATOMIC_ACQUIRE);

		if (seen == FREE)
			return -1;
		if (seen == tag && read_entry(&quotas->entries[place], key, ret_quota))
			return (int64_t)place;
	}
	return -1;
}

/* A place for a new key: half of them are free or graves. */
static int64_t find_room(struct thr_quotas *quotas, const struct thr_hash *hash)
{
	uint64_t mask = quotas->places - 1, i = 0;

	while (quotas->block->tags[(hash->word[1] + i) & mask] > GRAVE)
		i++;
	if (i >= quotas->block->reach)
		__atomic_store_n(&quotas->block->reach, i + 1, __ATOMIC_RELEASE);
	return (int64_t)((hash->word[1] + i) & mask);
}

bool thr_quotas_find(const struct thr_quotas *quotas, const struct thr_hash *hash,
		     struct thr_slice key, struct thr_quota *ret_quota)
{
	return find(quotas, hash, key, ret_quota) >= 0;
}

/* Send readers to the other content: what was written before is seen by who reads there, and
 * who sees what is written after finds that they were sent. */
static void step(struct entry *entry)
{
	__atomic_store_n(&entry->sequence, entry->sequence + 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void write_entry(struct entry *entry, struct thr_slice key, const struct thr_quota *quota)
{
	for (size_t i = 0; i < 2; i++) {
		struct content *content = &entry->content[i];

		step(entry);
		content->quota = *quota;
		content->key_length = (uint16_t)key.length;
		memcpy(content->key, key.at, key.length);
	}
}

int thr_quotas_set(struct thr_quotas *quotas, const struct thr_hash *hash, struct thr_slice key,
		   const struct thr_quota *quota)
{
	struct thr_quota before;
	int64_t place = find(quotas, hash, key, &before);

	if (place < 0 && quotas->block->count >= quotas->max)
		return -ENOSPC;
	if (place < 0) {
		place = find_room(quotas, hash);
		__atomic_fetch_add(&quotas->block->count, 1, __ATOMIC_RELAXED);
	}
	write_entry(&quotas->entries[place], key, quota);
	__atomic_store_n(&quotas->versions[place], quota->version, __ATOMIC_RELEASE);
	__atomic_store_n(&quotas->block->tags[place], tag_of(hash), __ATOMIC_RELEASE);
	return 0;
}

bool thr_quotas_remove(struct thr_quotas *quotas, const struct thr_hash *hash, struct thr_slice key)
{
	uint64_t mask = quotas->places - 1, at;
	struct thr_quota before;
	int64_t place = find(quotas, hash, key, &before);

	if (place < 0)
		return false;
	__atomic_fetch_sub(&quotas->block->count, 1, __ATOMIC_RELAXED);
	at = (uint64_t)place;
	__atomic_store_n(&quotas->versions[at], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&quotas->block->tags[at], GRAVE, __ATOMIC_RELEASE);
	if (quotas->block->tags[(at + 1) & mask] != FREE)
		return true;
	for (; quotas->block->tags[at] == GRAVE; at = (at - 1) & mask)
		__atomic_store_n(&quotas->block->tags[at], FREE, __ATOMIC_RELEASE);
	return true;
}

uint64_t thr_quotas_count(const struct thr_quotas *quotas)
{
	return __atomic_load_n(&quotas->block->count, __ATOMIC_RELAXED);
}

uint64_t thr_quotas_max(const struct thr_quotas *quotas)
{
	return quotas->max;
}

uint64_t thr_quotas_next(const struct thr_quotas *quotas, uint64_t from, struct thr_slice *ret_key,
			 struct thr_quota *ret_quota)
{
	for (uint64_t i = from; i < quotas->places; i++) {
		const struct content *content = &quotas->entries[i].content[0];

		if (quotas->block->tags[i] <= GRAVE)
			continue;
		*ret_key = (struct thr_slice){content->key, content->key_length};
		*ret_quota = content->quota;
		return i + 1;
	}
	return 0;
}

/* --- lists --- */

/* A heap with the highest version first, of which the first alone may be too low. */
static void sift(struct thr_quota_place *heap, size_t count)
{
	for (size_t at = 0, child; (child = 2 * at + 1) < count; at = child) {
		struct thr_quota_place lower = heap[at];

		if (child + 1 < count && heap[child + 1].version > heap[child].version)
			child++;
		if (lower.version >= heap[child].version)
			return;
		heap[at] = heap[child];
		heap[child] = lower;
	}
}

/* The highest of the lowest so far gives way to each that is lower; at first they are none. One
 * comparison, which is hardly ever true, passes over what is below `from`, too high or none: the
 * table may have millions of places. */
size_t thr_quotas_list(const struct thr_quotas *quotas, uint64_t from, size_t most,
		       struct thr_quota_place *ret_list)
{
	size_t found = 0;

	from += !from;
	for (size_t i = 0; i < most; i++)
		ret_list[i] = (struct thr_quota_place){UINT64_MAX, 0};
	for (uint64_t i = 0; i < quotas->places; i++) {
		uint64_t version = __atomic_load_n(&quotas->versions[i], __ATOMIC_ACQUIRE);

		if (version - from >= ret_list[0].version - from)
			continue;
		ret_list[0] = (struct thr_quota_place){version, i};
		sift(ret_list, most);
		found++;
	}
	for (size_t left = most; left > 1; left--) {
		struct thr_quota_place highest = ret_list[0];

		ret_list[0] = ret_list[left - 1];
		ret_list[left - 1] = highest;
		sift(ret_list, left - 1);
	}
	return found < most ? found : most;
}

struct thr_slice thr_quotas_read(const struct thr_quotas *quotas,
				 const struct thr_quota_place *place,
				 char bytes[static THR_KEY_MAX], struct thr_quota *ret_quota)
{
	const struct entry *entry = &quotas->entries[place->at];
	uint32_t sequence = __atomic_load_n(&entry->sequence, __ATOMIC_ACQUIRE);
	struct content content;

	do {
		content = entry->content[sequence & 1];
	} while (reads_again(entry, &sequence));
	*ret_quota = content.quota;
	memcpy(bytes, content.key, content.key_length);
	return (struct thr_slice){bytes, content.key_length};
}

void thr_quotas_each(const struct thr_quotas *quotas,
		     void (*visit)(void *context, struct thr_slice key,
				   const struct thr_quota *quota),
		     void *context)
{
	struct thr_quota quota;
	struct thr_slice key;

	for (uint64_t at = thr_quotas_next(quotas, 0, &key, &quota); at;
	     at = thr_quotas_next(quotas, at, &key, &quota))
		visit(context, key, &quota);
}
