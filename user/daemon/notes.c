/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See notes.h. */
#include "daemon/notes.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Who writes what lies in lines of its own. */
struct ring {
	uint32_t put __attribute__((aligned(128)));
	uint64_t lost;
	uint32_t taken __attribute__((aligned(128))); /* what the worker goes by */
	struct thr_note notes[THR_NOTES_A_RING] __attribute__((aligned(128)));
};

struct thr_notes {
	struct ring *rings;
	unsigned int workers;
	unsigned int first; /* of the next taking */
	uint32_t taken[];   /* of each ring: what the master goes by */
};

int thr_notes_new(unsigned int workers, struct thr_notes **ret_notes)
{
	struct thr_notes *notes = calloc(1, sizeof(*notes) + workers * sizeof(notes->taken[0]));
	void *rings;

	if (!notes)
		return -ENOMEM;
	rings = mmap(NULL, workers * sizeof(struct ring), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (rings == MAP_FAILED) {
		free(notes);
		return -ENOMEM;
	}
	notes->rings = rings;
	notes->workers = workers;
	*ret_notes = notes;
	return 0;
}

void thr_notes_free(struct thr_notes *notes)
{
	if (!notes)
		return;
	munmap(notes->rings, notes->workers * sizeof(*notes->rings));
	free(notes);
}

void thr_notes_put(struct thr_notes *notes, unsigned int worker, const struct thr_note *note)
{
	struct ring *ring = &notes->rings[worker];
	uint32_t put = ring->put;

	if (put - __atomic_load_n(&ring->taken, __ATOMIC_ACQUIRE) >= THR_NOTES_A_RING) {
		__atomic_store_n(&ring->lost, ring->lost + 1, __ATOMIC_RELAXED);
		return;
	}
	ring->notes[put % THR_NOTES_A_RING] = *note;
	__atomic_store_n(&ring->put, put + 1, __ATOMIC_RELEASE);
}

/* A count of more than a ring holds is no worker's of ours: what it is ahead by is passed
 * over, so that the next good one is in step again. */
static size_t take(struct ring *ring, uint32_t *taken, struct thr_note *into, size_t room)
{
	uint32_t put = __atomic_load_n(&ring->put, __ATOMIC_ACQUIRE);
	size_t count = 0;

	if (put - *taken > THR_NOTES_A_RING)
		*taken = put;
	while (*taken != put && count < room)
		into[count++] = ring->notes[(*taken)++ % THR_NOTES_A_RING];
	if (ring->taken != *taken)
		__atomic_store_n(&ring->taken, *taken, __ATOMIC_RELEASE);
	return count;
}

size_t thr_notes_take(struct thr_notes *notes, struct thr_note *into, size_t room)
{
	size_t count = 0;

	for (unsigned int i = 0; i < notes->workers; i++) {
		unsigned int at = (notes->first + i) % notes->workers;

		count += take(&notes->rings[at], &notes->taken[at], into + count, room - count);
	}
	if (++notes->first >= notes->workers)
		notes->first = 0;
	return count;
}

uint64_t thr_notes_lost(const struct thr_notes *notes)
{
	uint64_t lost = 0;

	for (unsigned int i = 0; i < notes->workers; i++)
		lost += __atomic_load_n(&notes->rings[i].lost, __ATOMIC_RELAXED);
	return lost;
}
