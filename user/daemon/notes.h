/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What workers tell the master of clients' addresses, for the packet layer: a ring of
 * notes for each worker, in memory that both map.
 *
 *   worker: put --> [ . . n n n n . . ] --> take: master, a few times a second
 *                         ^       ^
 *                      taken     put       counts that only grow; a place is a count
 *                                          without its high bits
 *
 * One writer and one reader a ring, so no lock. A full ring drops the note and counts it:
 * a worker never waits, and a note that was lost is made again with the client's next
 * request or refusal.
 *
 * A worker in a stranger's hands can write anything into any of the rings. The master
 * keeps how far it has read to itself, masks every place, and takes what it finds for a
 * stranger's word: who judges it is heed.c.
 */
#ifndef THR_NOTES_H
#define THR_NOTES_H

#include "proxy/proxy.h"

#define THR_NOTES_A_RING 1024 /* a power of two */

struct thr_notes;

/* With a ring for each of `workers`, to be made before they are forked. Returns 0 or a
 * negative errno. */
int thr_notes_new(unsigned int workers, struct thr_notes **ret_notes);
void thr_notes_free(struct thr_notes *notes); /* NULL-safe */

/* In worker `worker`, from 0. */
void thr_notes_put(struct thr_notes *notes, unsigned int worker, const struct thr_note *note);

/* In the master: move what there is, at most `room`, to `into`; what there is no room for
 * stays, and rings take turns in being the first. Returns how many. */
size_t thr_notes_take(struct thr_notes *notes, struct thr_note *into, size_t room);

/* Notes that found their ring full, by the workers' own account. */
uint64_t thr_notes_lost(const struct thr_notes *notes);

#endif
