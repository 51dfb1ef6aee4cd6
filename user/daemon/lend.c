/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Listeners of workers that do not serve: lent to workers that do, so that clients who
 * come meanwhile do not wait for the restart, and looked after when they come back, for
 * the worker that had one may have been in a stranger's hands.
 *
 * Listeners are of the configuration in force, and so are their borrowers: one that has the
 * configuration before, or has not answered yet, may not know that a token is asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "core/log.h"
#include "daemon/listener.h"
#include "daemon/master.h"
#include "daemon/message.h"

static bool is_up_to_date(const struct thr_slot *slot)
{
	return slot->pid && slot->generation == slot->master->generation->number;
}

static struct thr_slot *find_borrower(struct thr_master *master, unsigned int lender)
{
	unsigned int first = master->slots[lender].ask_next;

	for (unsigned int i = 0; i < master->worker_count; i++) {
		struct thr_slot *slot = &master->slots[(first + i) % master->worker_count];

		if (slot->number != lender && is_up_to_date(slot))
			return slot;
	}
	return NULL;
}

/* Have `worker` accept from the listener of `slot`. */
static void hand_over(struct thr_slot *worker, const struct thr_slot *slot, unsigned int front)
{
	const struct thr_message message = {
		.kind = THR_MESSAGE_LISTEN, .slot = slot->number, .front = front};
	int fds[THR_MESSAGE_FDS];

	memset(fds, -1, sizeof(fds));
	fds[0] = slot->listener[front];
	thr_slot_tell(worker, &message, fds);
}

static void lend(struct thr_slot *slot)
{
	for (unsigned int i = 0; i < THR_FRONTS; i++) {
		struct thr_slot *borrower;

		if (slot->listener[i] < 0 || slot->borrower[i] != THR_NOBODY)
			continue;
		borrower = find_borrower(slot->master, slot->number);
		if (!borrower)
			return;
		slot->borrower[i] = borrower->number;
		hand_over(borrower, slot, i);
	}
}

void thr_slots_lend(struct thr_master *master)
{
	if (master->phase != THR_SERVING && master->phase != THR_RELOADING)
		return;
	for (unsigned int i = 0; i < master->worker_count; i++)
		if (!thr_slot_is_serving(&master->slots[i]))
			lend(&master->slots[i]);
}

static void take_back(struct thr_slot *slot, unsigned int front)
{
	const struct thr_message message = {
		.kind = THR_MESSAGE_UNLISTEN, .slot = slot->number, .front = front};

	if (slot->borrower[front] == THR_NOBODY)
		return;
	thr_slot_tell(&slot->master->slots[slot->borrower[front]], &message, NULL);
	slot->borrower[front] = THR_NOBODY;
}

void thr_slot_take_back(struct thr_slot *slot)
{
	for (unsigned int i = 0; i < THR_FRONTS; i++)
		take_back(slot, i);
}

void thr_slot_give_back(const struct thr_slot *slot)
{
	struct thr_master *master = slot->master;

	for (unsigned int i = 0; i < master->worker_count * THR_FRONTS; i++) {
		struct thr_slot *lender = &master->slots[i / THR_FRONTS];

		if (lender->borrower[i % THR_FRONTS] == slot->number)
			take_back(lender, i % THR_FRONTS);
	}
}

void thr_slots_recall(struct thr_master *master, enum thr_front front)
{
	for (unsigned int i = 0; i < master->worker_count; i++)
		take_back(&master->slots[i], front);
}

/* --- after a worker's death --- */

/* A Unix socket is one for all, and who shuts it down does so to all: the others get the
 * new one. A worker that is being configured is on its way to the old. */
static void share_replacement(struct thr_slot *from, unsigned int front)
{
	struct thr_master *master = from->master;

	thr_socket_file_note(master->generation->config->api.listen, &master->file[front]);
	for (unsigned int i = 0; i < master->worker_count; i++) {
		struct thr_slot *slot = &master->slots[i];

		if (slot == from)
			continue;
		thr_listeners_close(&slot->listener[front], 1);
		slot->listener[front] = fcntl(from->listener[front], F_DUPFD_CLOEXEC, 0);
		if (slot->listener[front] < 0)
			thr_log(THR_LOG_ERROR, "a listener of worker %u: %s", slot->number + 1,
				strerror(errno));
		else if (slot->asked)
			thr_slot_kill(slot);
		else if (is_up_to_date(slot))
			hand_over(slot, slot, front);
		take_back(slot, front);
	}
}

/* One of a Unix socket that was lost (there were no descriptors left) is that of any other. */
static void adopt(struct thr_slot *slot, unsigned int front)
{
	const struct thr_master *master = slot->master;

	for (unsigned int i = 0; i < master->worker_count && slot->listener[front] < 0; i++)
		if (master->slots[i].listener[front] >= 0)
			slot->listener[front] =
				fcntl(master->slots[i].listener[front], F_DUPFD_CLOEXEC, 0);
}

static void mend(struct thr_slot *slot, unsigned int front)
{
	struct thr_endpoint endpoint;
	struct thr_error error;
	int r;

	if (!thr_front_find(slot->master, slot->master->generation->config, front, &endpoint))
		return;
	if (endpoint.path)
		adopt(slot, front);
	r = thr_listener_mend(&endpoint, &slot->listener[front], &error);
	if (r < 0)
		thr_log(THR_LOG_ERROR, "%s; worker %u has no listener until it is restarted",
			error.text, slot->number + 1);
	if (r > 0 && endpoint.path)
		share_replacement(slot, front);
	else if (r > 0)
		take_back(slot, front); /* who borrowed it has the one that was shut */
}

void thr_slot_mend_listeners(struct thr_slot *slot)
{
	if (slot->master->phase == THR_DRAINING)
		return;
	for (unsigned int i = 0; i < THR_FRONTS; i++)
		mend(slot, i);
}

void thr_slot_return_listeners(struct thr_slot *slot)
{
	struct thr_master *master = slot->master;

	thr_slot_mend_listeners(slot);
	for (unsigned int i = 0; i < master->worker_count * THR_FRONTS; i++) {
		struct thr_slot *lender = &master->slots[i / THR_FRONTS];
		unsigned int front = i % THR_FRONTS;

		if (lender->borrower[front] != slot->number)
			continue;
		lender->borrower[front] = THR_NOBODY;
		if (master->phase != THR_DRAINING)
			mend(lender, front);
	}
}
