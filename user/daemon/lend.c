/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Listeners of workers that do not serve: lent to workers that do, so that clients who
 * come meanwhile do not wait for the restart, and looked after when they come back, for
 * the worker that had one may have been in a stranger's hands.
 */
#include <stddef.h>

#include "core/log.h"
#include "daemon/listener.h"
#include "daemon/master.h"
#include "daemon/message.h"

static struct thr_slot *find_borrower(struct thr_master *master, unsigned int lender)
{
	unsigned int first = master->slots[lender].ask_next;

	for (unsigned int i = 0; i < master->worker_count; i++) {
		struct thr_slot *slot = &master->slots[(first + i) % master->worker_count];

		if (slot->number != lender && thr_slot_is_serving(slot))
			return slot;
	}
	return NULL;
}

void thr_slots_lend(struct thr_master *master)
{
	if (master->phase != THR_SERVING && master->phase != THR_RELOADING)
		return;
	for (unsigned int i = 0; i < master->worker_count; i++) {
		struct thr_slot *slot = &master->slots[i];
		const struct thr_message message = {.kind = THR_MESSAGE_LISTEN, .slot = i};
		const int fds[THR_MESSAGE_FDS] = {slot->listener, -1, -1};
		struct thr_slot *borrower;

		if (thr_slot_is_serving(slot) || slot->listener < 0 || slot->borrower != THR_NOBODY)
			continue;
		borrower = find_borrower(master, i);
		if (!borrower)
			return;
		slot->borrower = borrower->number;
		thr_slot_tell(borrower, &message, fds);
	}
}

void thr_slot_take_back(struct thr_slot *slot)
{
	const struct thr_message message = {.kind = THR_MESSAGE_UNLISTEN, .slot = slot->number};

	if (slot->borrower == THR_NOBODY)
		return;
	thr_slot_tell(&slot->master->slots[slot->borrower], &message, NULL);
	slot->borrower = THR_NOBODY;
}

void thr_slots_recall(struct thr_master *master)
{
	for (unsigned int i = 0; i < master->worker_count; i++)
		thr_slot_take_back(&master->slots[i]);
}

void thr_slot_mend_listener(struct thr_slot *slot)
{
	const struct thr_config *config = slot->master->generation->config;
	struct thr_error error;

	if (!config->route_count || slot->master->phase == THR_DRAINING)
		return;
	if (thr_listener_mend(&config->server, &slot->listener, &error))
		thr_log(THR_LOG_ERROR, "%s; worker %u has no listener until it is restarted",
			error.text, slot->number + 1);
}

void thr_slot_return_listeners(struct thr_slot *slot)
{
	struct thr_master *master = slot->master;

	thr_slot_mend_listener(slot);
	for (unsigned int i = 0; i < master->worker_count; i++) {
		if (master->slots[i].borrower != slot->number)
			continue;
		master->slots[i].borrower = THR_NOBODY;
		thr_slot_mend_listener(&master->slots[i]);
	}
}
