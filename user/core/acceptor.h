/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Accepts connections, and keeps them to a number.
 *
 * A worker has a listener of its own, and is lent those of workers that are down: each slot
 * has one or none. When there are as many connections as there may be, one that is idle goes
 * for each that comes. When none is, or the kernel is short of descriptors or memory, nothing
 * is accepted for a moment: who comes waits in the kernel's queue.
 *
 * One thread, on its loop.
 */
#ifndef THR_ACCEPTOR_H
#define THR_ACCEPTOR_H

#include "core/address.h"
#include "core/link.h"
#include "core/loop.h"

struct thr_acceptor;

/* What is done with connections. `item` is what was given to thr_acceptor_add(). */
struct thr_acceptor_use {
	/* Own the descriptor of a new one, which does not block. `peer` is all zeros for a
	 * Unix socket's. */
	void (*accept)(struct thr_acceptor *acceptor, int fd, const struct thr_address *peer);

	/* When it will be closed for being idle, in ms of the loop's clock; 0: it is in use. */
	uint64_t (*idle_until_ms)(const struct thr_link *item);

	/* Close it; thr_acceptor_remove() is called before this returns. */
	void (*close)(struct thr_link *item);

	/* All are in use, and one more waits; may be NULL. */
	void (*full)(struct thr_acceptor *acceptor);
};

/* Embedded in what it accepts for. */
struct thr_acceptor {
	const struct thr_acceptor_use *use;
	struct thr_loop *loop;
	struct thr_listener *listeners; /* by slot */
	unsigned int slots;
	struct thr_timer retry;
	struct thr_link connections;
	size_t count; /* of them */
	size_t max;   /* its owner's to set; 0 at first */
	bool accepting;
};

/* Returns 0 or -ENOMEM; to be cleared in any case. The loop and `use` outlive it. */
int thr_acceptor_init(struct thr_acceptor *acceptor, struct thr_loop *loop, unsigned int slots,
		      const struct thr_acceptor_use *use);

/* Accept from `fd`, a listening socket that does not block and belongs to the acceptor from
 * now on, in the place of what the slot had. Returns 0 or a negative errno. */
int thr_acceptor_listen(struct thr_acceptor *acceptor, unsigned int slot, int fd);
void thr_acceptor_unlisten(struct thr_acceptor *acceptor, unsigned int slot);

/* Accept no more, ever. */
void thr_acceptor_stop(struct thr_acceptor *acceptor);

/* A connection counts, from the first to the second. */
void thr_acceptor_add(struct thr_acceptor *acceptor, struct thr_link *item);
void thr_acceptor_remove(struct thr_acceptor *acceptor, struct thr_link *item);

/* Stop, and close all connections. */
void thr_acceptor_clear(struct thr_acceptor *acceptor);

#endif
