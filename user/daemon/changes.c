/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Changes of what is set for keys, between the workers that want them and the state that
 * keeps them. Nothing that a worker says is believed: a change that the API would not have
 * let through comes from a worker that is out of control.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "daemon/master.h"
#include "daemon/message.h"
#include "daemon/state_file.h"

static void tell(struct thr_slot *slot, const struct thr_state_answer *answer)
{
	struct thr_message message = {
		.kind = THR_MESSAGE_CHANGED,
		.changed = {.number = answer->number,
			    .version = answer->version,
			    .result = answer->result},
	};

	snprintf(message.changed.why, sizeof(message.changed.why), "%s", answer->why);
	thr_slot_tell(slot, &message, NULL);
}

static void on_answer(void *context, const struct thr_state_answer *answer)
{
	struct thr_master *master = context;
	struct thr_slot *slot = &master->slots[answer->worker];

	slot->changes--;
	tell(slot, answer);
}

int thr_changes_open(struct thr_master *master, const struct thr_config *config,
		     struct thr_error *error)
{
	const struct thr_state_parts parts = {
		.loop = master->loop,
		.quotas = master->quotas,
		.secret = thr_memory_hash_key(master->buckets),
		.path = config->store.state_file,
		.answer = on_answer,
		.context = master,
	};

	if (!config->api.present || config->store.backend != THR_BACKEND_MEMORY)
		return 0;
	if (!master->state)
		return thr_state_new(&parts, &master->state, error);
	if (strcmp(config->store.state_file, thr_state_path(master->state)) == 0)
		return 0;
	return thr_fail(error, EBUSY,
			"store.memory.state_file changes from %s to %s only by a restart",
			thr_state_path(master->state), config->store.state_file);
}

static void remove_one(void *context, struct thr_slice key, const struct thr_quota *quota)
{
	const struct thr_master *master = context;
	const struct thr_hash hash =
		thr_hash(thr_memory_hash_key(master->buckets), key.at, key.length);

	(void)quota;
	thr_quotas_remove(master->quotas, &hash, key);
}

void thr_changes_close(struct thr_master *master)
{
	thr_state_free(TAKE_PTR(master->state));
	thr_quotas_each(master->quotas, remove_one, master);
}

/* 0 too for what cannot be read: it is not needed. */
static uint64_t count_in_file(const struct thr_master *master, const char *path)
{
	struct thr_quotas *quotas;
	uint64_t unused, count;

	if (thr_quotas_new(thr_quotas_max(master->quotas), false, &quotas))
		return 0;
	thr_state_file_read(path, quotas, thr_memory_hash_key(master->buckets), &unused, NULL);
	count = thr_quotas_count(quotas);
	thr_quotas_free(quotas);
	return count;
}

static bool has_api_on_redis(const struct thr_config *config)
{
	return config->api.present && config->store.backend == THR_BACKEND_REDIS;
}

void thr_changes_warn(const struct thr_master *master, const struct thr_config *config)
{
	const struct thr_config *old = master->generation->config;
	const char *path = config->store.state_file;
	uint64_t count;

	if (!has_api_on_redis(config) || (old != config && has_api_on_redis(old)))
		return;
	if (master->state)
		path = thr_state_path(master->state);
	count = master->state ? thr_quotas_count(master->quotas) : count_in_file(master, path);
	if (count)
		thr_log(THR_LOG_WARNING,
			"%s: not used while store.backend is redis; configs in it: %" PRIu64
			": set them again, then move it away",
			path, count);
}

void thr_changes_forget(struct thr_slot *slot)
{
	if (slot->master->state)
		thr_state_forget(slot->master->state, slot->number);
	slot->changes = 0;
}

/* --- what a worker wants --- */

static bool read_condition(const struct thr_message_change *message,
			   struct thr_condition *ret_condition)
{
	struct thr_condition condition = {.any = message->any != 0};

	if (message->condition > THR_IF_NONE_MATCH || message->version_count > THR_VERSIONS_MAX)
		return false;
	condition.kind = message->condition;
	condition.count = (uint8_t)message->version_count;
	memcpy(condition.version, message->version, sizeof(condition.version));
	*ret_condition = condition;
	return true;
}

static bool read_change(const struct thr_message_change *message, struct thr_state_change *change)
{
	struct thr_slice key = {message->key, message->key_length};
	const char *why;

	if (message->kind != THR_QUOTA_PUT && message->kind != THR_QUOTA_DELETE)
		return false;
	if (!thr_state_key_fits(key) || !read_condition(message, &change->condition))
		return false;
	if (message->kind == THR_QUOTA_PUT &&
	    (message->on_error > THR_ON_ERROR_DENY ||
	     thr_quota_make(message->capacity, message->refill_per_s, message->on_error,
			    &change->quota, &why)))
		return false;
	change->kind = message->kind;
	change->number = message->number;
	change->key_length = key.length;
	memcpy(change->key, key.at, key.length);
	return true;
}

static void refuse(struct thr_slot *slot, uint64_t number, const char *why)
{
	const struct thr_state_answer answer = {
		.number = number, .result = THR_CHANGE_FAILED, .why = why};

	tell(slot, &answer);
}

int thr_changes_hear(struct thr_slot *slot, const struct thr_message_change *message)
{
	struct thr_state_change change = {.worker = slot->number};

	if (!slot->pid)
		return 1; /* it has ended: its last words */
	if (slot->changes >= THR_CHANGES_MAX || !read_change(message, &change))
		return -EPROTO;
	if (!slot->master->state)
		refuse(slot, change.number, "there is no state file");
	else if (thr_state_change(slot->master->state, &change))
		refuse(slot, change.number, strerror(ENOMEM));
	else
		slot->changes++;
	return 1;
}
