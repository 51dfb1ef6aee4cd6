/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Changes of what is set for keys, on their way from a worker's store to the master, who puts
 * them on disk and in force.
 *
 *   store's list, by number:   [ the master has them: THR_CHANGES_MAX at most ][ they wait ]
 *                                                                    last -----^
 *
 * The answers to a whole batch come at once, and the channel holds only so many messages: so
 * the master has no more changes of a worker than that, and each answer lets the next one go.
 * Those that wait are the store's alone: one whose client went away is never made.
 *
 * A master who does not read for so long that the channel is full is not waited for: the
 * change has failed.
 */
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "daemon/worker_internal.h"

void keep_tell(void *context, bool bad, const char *text)
{
	(void)context;
	thr_log(bad ? THR_LOG_WARNING : THR_LOG_INFO, "%s", text);
}

static void compose(const struct thr_change *change, struct thr_message_change *ret_message)
{
	const struct thr_condition *condition = &change->condition;
	struct thr_message_change message = {
		.number = change->number,
		.kind = change->kind,
		.capacity = change->quota.capacity,
		.refill_per_s = change->quota.refill_per_s,
		.on_error = change->quota.on_error,
		.condition = condition->kind,
		.any = condition->any,
		.version_count = condition->count,
		.key_length = (uint32_t)change->key.length,
	};

	memcpy(message.version, condition->version, sizeof(message.version));
	memcpy(message.key, change->key.at, change->key.length);
	*ret_message = message;
}

/* Give the master what waits, as long as it may have more. */
static int send_waiting(struct worker *worker)
{
	struct keeping *keeping = &worker->keeping;

	while (keeping->count < THR_CHANGES_MAX) {
		const struct thr_change *change =
			thr_store_kept_after(worker->store, keeping->last);
		struct thr_message message = {.kind = THR_MESSAGE_CHANGE};
		int r;

		if (!change)
			break;
		compose(change, &message.change);
		r = thr_message_send(worker->parts->channel, &message, NULL);
		if (r)
			return r;
		keeping->last = change->number;
		keeping->count++;
	}
	return 0;
}

/* At the end of the turn, when the store expects it; what follows from it is for the next. */
static void on_refuse(struct thr_deferred *deferred)
{
	struct worker *worker = WORKER(deferred, keeping.refuse);
	uint64_t newest = worker->keeping.newest;
	const struct thr_change *change;

	while ((change = thr_store_kept_after(worker->store, worker->keeping.last)) &&
	       change->number <= newest)
		thr_store_changed(worker->store, change->number, THR_CHANGE_FAILED, 0,
				  "the master does not take changes");
}

void keep_init(struct worker *worker)
{
	worker->keeping.refuse.run = on_refuse;
}

static void go_on(struct worker *worker)
{
	if (send_waiting(worker))
		thr_loop_defer(worker->loop, &worker->keeping.refuse);
}

void keep_change(void *context, struct thr_change *change)
{
	struct worker *worker = context;

	worker->keeping.newest = change->number;
	go_on(worker);
}

void keep_changed(struct worker *worker, const struct thr_message_changed *changed)
{
	if (worker->keeping.count)
		worker->keeping.count--;
	thr_store_changed(worker->store, changed->number, changed->result, changed->version,
			  changed->why);
	go_on(worker);
}

void keep_give_up(struct worker *worker)
{
	struct keeping *keeping = &worker->keeping;
	uint64_t newest = keeping->newest;
	const struct thr_change *change;

	keeping->count = 0;
	while ((change = thr_store_kept_after(worker->store, 0)) && change->number <= newest)
		thr_store_changed(worker->store, change->number, THR_CHANGE_FAILED, 0,
				  change->number <= keeping->last
					  ? "the master has ended: it may be in force after the "
					    "next start"
					  : "the master has ended");
}
