/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Changes of what is set for keys, on their way from a worker's store to the master, who puts
 * them on disk and in force. A master who does not read (it is behind with hundreds of messages) is
 * not waited for: the change has failed.
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

static void on_refuse(struct thr_deferred *deferred)
{
	struct worker *worker = WORKER(deferred, keeping.refuse);
	uint64_t from = worker->keeping.refused[0], to = worker->keeping.refused[1];

	worker->keeping.refused[0] = 0;
	for (uint64_t number = from; number <= to; number++)
		thr_store_changed(worker->store, number, THR_CHANGE_FAILED, 0,
				  "the master does not take changes");
}

void keep_init(struct worker *worker)
{
	worker->keeping.refuse.run = on_refuse;
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

/* Once one could not be given to the master, none of this turn is: so the refused are in a
 * row. They are told at its end, when the store expects it. */
static void refuse(struct worker *worker, uint64_t number)
{
	if (!worker->keeping.refused[0])
		worker->keeping.refused[0] = number;
	worker->keeping.refused[1] = number;
	thr_loop_defer(worker->loop, &worker->keeping.refuse);
}

void keep_change(void *context, struct thr_change *change)
{
	struct worker *worker = context;
	struct keeping *keeping = &worker->keeping;
	struct thr_message message = {.kind = THR_MESSAGE_CHANGE};

	compose(change, &message.change);
	if (keeping->refused[0] || thr_message_send(worker->parts->channel, &message, NULL)) {
		refuse(worker, change->number);
		return;
	}
	if (!keeping->count++)
		keeping->first = change->number;
	keeping->last = change->number;
}

void keep_changed(struct worker *worker, const struct thr_message_changed *changed)
{
	if (worker->keeping.count)
		worker->keeping.count--;
	thr_store_changed(worker->store, changed->number, changed->result, changed->version,
			  changed->why);
}

void keep_give_up(struct worker *worker)
{
	struct keeping *keeping = &worker->keeping;

	if (!keeping->count)
		return;
	keeping->count = 0;
	for (uint64_t number = keeping->first; number <= keeping->last; number++)
		thr_store_changed(worker->store, number, THR_CHANGE_FAILED, 0,
				  "the master has ended: it may be in force after the next start");
}
