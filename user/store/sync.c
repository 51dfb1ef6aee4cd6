/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Signs of life and the replica; see sync.h, and scripts.h for what is in Redis.
 *
 * Redis numbers the changes. A worker has read up to one of them, asks for those after it
 * and applies them in their order. Who was away for so long that removals were dropped from
 * the log reads all anew into a second table, which then takes the place of the first.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/writer.h"
#include "store/sync_internal.h"

#define INTERVAL_MS 200
#define JITTER_MS 100
#define PAGE 256 /* changes of a reply */
#define PAGE_TEXT "256"
#define RESTORE_KEYS 64 /* of a call */
#define HEADER 4	/* numbers of a reply before its changes */

/* --- the replica --- */

int thr_replica_new(uint64_t max, struct thr_replica **ret_replica)
{
	struct thr_replica *replica = calloc(1, sizeof(*replica));
	int r;

	if (!replica)
		return -ENOMEM;
	r = thr_quotas_new(max, false, &replica->quotas);
	if (r < 0)
		free(replica);
	else
		*ret_replica = replica;
	return r;
}

void thr_replica_free(struct thr_replica *replica)
{
	if (!replica)
		return;
	thr_quotas_free(replica->quotas);
	thr_quotas_free(replica->loading);
	free(replica);
}

const struct thr_quotas *thr_replica_quotas(const struct thr_replica *replica)
{
	return replica->quotas;
}

/* While all is read anew, what was whole before stays in use. */
bool thr_replica_is_whole(const struct thr_replica *replica)
{
	return replica->read_all || replica->loading;
}

void thr_replica_note(struct thr_replica *replica, struct thr_slice key, uint64_t number)
{
	if (number <= replica->last || key.length > sizeof(replica->last_key))
		return;
	replica->last = number;
	replica->last_length = key.length;
	memcpy(replica->last_key, key.at, key.length);
}

void thr_sync_count(const struct thr_sync *sync)
{
	if (sync->replica->read_all)
		sync->store->counts->quotas = thr_quotas_count(sync->replica->quotas);
}

/* Read all from the first change on. */
static void read_anew(struct thr_replica *replica, const char *epoch)
{
	if (epoch != replica->epoch)
		snprintf(replica->epoch, sizeof(replica->epoch), "%s", epoch);
	replica->read_to = 0;
	replica->last = 0;
	replica->read_all = false;
	thr_quotas_free(replica->loading);
	replica->loading = NULL;
}

/* A key that is one too many for this table goes without: its default applies. */
static void apply(struct thr_sync *sync, struct thr_slice key, const char *text)
{
	struct thr_replica *replica = sync->replica;
	struct thr_quotas *quotas = replica->loading ? replica->loading : replica->quotas;
	struct thr_hash hash =
		thr_hash(thr_memory_hash_key(sync->store->buckets), key.at, key.length);
	struct thr_quota quota;

	if (key.length > THR_KEY_MAX)
		return;
	if (thr_quota_read(text, &quota))
		thr_quotas_set(quotas, &hash, key, &quota);
	else
		thr_quotas_remove(quotas, &hash, key);
}

/* --- calls --- */

static void sync_done(struct thr_redis_call *call, const struct redisReply *reply);
static void restore_done(struct thr_redis_call *call, const struct redisReply *reply);

void thr_sync_begin(const struct thr_sync *sync, const char *epoch, struct thr_sync_text *text,
		    struct thr_slice ret_argument[static THR_SYNC_ARGUMENTS])
{
	snprintf(text->epoch, sizeof(text->epoch), "%016" PRIx64 "%016" PRIx64,
		 sync->store->instance, thr_clock_wall_ns());
	ret_argument[0] = (struct thr_slice){epoch, strlen(epoch)};
	ret_argument[1] = thr_decimal(sync->replica->version, text->version);
	ret_argument[2] = (struct thr_slice){text->epoch, strlen(text->epoch)};
}

static void wait_for_next(struct thr_sync *sync)
{
	thr_loop_arm(sync->store->loop, &sync->timer,
		     INTERVAL_MS + thr_clock_monotonic_ns() / 1000 % JITTER_MS);
}

static void call_script(struct thr_sync *sync, enum thr_script script,
			const struct thr_slice *argument, size_t arguments)
{
	sync->calling = thr_redis_eval(sync->redis, &sync->call, &sync->scripts[script],
				       sync->name.key, THR_SYNC_KEYS, argument, arguments) == 0;
	if (!sync->calling)
		wait_for_next(sync);
}

static void ask(struct thr_sync *sync)
{
	const struct thr_replica *replica = sync->replica;
	struct thr_slice argument[THR_SYNC_ARGUMENTS + 5];
	char instance[17], from[THR_DECIMAL_MAX], last[THR_DECIMAL_MAX];
	struct thr_sync_text text = {0};

	thr_sync_begin(sync, replica->epoch, &text, argument);
	snprintf(instance, sizeof(instance), "%016" PRIx64, sync->store->instance);
	argument[3] = (struct thr_slice){instance, 16};
	argument[4] = THR_SLICE(PAGE_TEXT);
	argument[5] = thr_decimal(replica->read_to, from);
	argument[6] =
		(struct thr_slice){replica->last_key, replica->last ? replica->last_length : 0};
	argument[7] = thr_decimal(replica->last, last);
	sync->call.done = sync_done;
	call_script(sync, THR_SCRIPT_SYNC, argument, THR_SYNC_ARGUMENTS + 5);
}

/* Put back some of what the replica has; when all is, read what Redis has. */
static void restore(struct thr_sync *sync)
{
	struct thr_slice argument[THR_SYNC_ARGUMENTS + 3 * RESTORE_KEYS];
	char version[RESTORE_KEYS][THR_DECIMAL_MAX];
	char value[RESTORE_KEYS][THR_QUOTA_TEXT];
	size_t used = THR_SYNC_ARGUMENTS, keys = 0;
	struct thr_sync_text text = {0};
	struct thr_quota quota;
	struct thr_slice key;

	thr_sync_begin(sync, sync->epoch, &text, argument);
	for (; keys < RESTORE_KEYS; keys++) {
		uint64_t next =
			thr_quotas_next(sync->replica->quotas, sync->restored, &key, &quota);
		char words[THR_QUOTA_TEXT];
		int length;

		if (!next)
			break;
		sync->restored = next;
		thr_quota_write(&quota, words);
		length = snprintf(value[keys], sizeof(value[keys]), "%" PRIu64 " %s", quota.version,
				  words);
		argument[used++] = key;
		argument[used++] = thr_decimal(quota.version, version[keys]);
		argument[used++] = (struct thr_slice){value[keys], (size_t)length};
	}
	if (!keys) {
		read_anew(sync->replica, sync->epoch);
		ask(sync);
		return;
	}
	sync->call.done = restore_done;
	call_script(sync, THR_SCRIPT_RESTORE, argument, used);
}

static void restore_for(struct thr_sync *sync, const char *epoch)
{
	snprintf(sync->epoch, sizeof(sync->epoch), "%s", epoch);
	sync->restored = 0;
	restore(sync);
}

/* --- replies --- */

/* An epoch that a reply begins with, or NULL. */
static const char *epoch_of(const struct redisReply *reply)
{
	if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 ||
	    reply->element[0]->type != REDIS_REPLY_STRING || !reply->element[0]->len ||
	    (size_t)reply->element[0]->len >= THR_EPOCH_SIZE)
		return NULL;
	return reply->element[0]->str;
}

static void restore_done(struct thr_redis_call *call, const struct redisReply *reply)
{
	struct thr_sync *sync = THR_CONTAINER(call, struct thr_sync, call);
	const char *epoch = epoch_of(reply);

	sync->calling = false;
	if (!sync->replica)
		return;
	if (!epoch)
		wait_for_next(sync);
	else if (strcmp(epoch, sync->epoch) != 0)
		restore_for(sync, epoch);
	else
		restore(sync);
}

/* Whether a reply has what SYNC answers. */
static bool is_page(const struct redisReply *reply)
{
	if (!epoch_of(reply) || reply->elements < HEADER || (reply->elements - HEADER) % 3 != 0)
		return false;
	for (size_t i = 1; i < reply->elements; i++) {
		bool number = i < HEADER || (i - HEADER) % 3 == 0;

		if (reply->element[i]->type != (number ? REDIS_REPLY_INTEGER : REDIS_REPLY_STRING))
			return false;
	}
	return true;
}

/* Apply a page of changes. Returns whether there may be more. */
static bool read_page(struct thr_sync *sync, const struct redisReply *reply)
{
	struct thr_replica *replica = sync->replica;

	for (size_t i = HEADER; i < reply->elements; i += 3) {
		const struct redisReply *name = reply->element[i + 1];
		const struct thr_slice key = {name->str, (size_t)name->len};

		replica->read_to = (uint64_t)reply->element[i]->integer;
		thr_replica_note(replica, key, replica->read_to);
		apply(sync, key, reply->element[i + 2]->str);
	}
	replica->version = (uint64_t)reply->element[1]->integer;
	if (reply->elements == HEADER + 3 * PAGE)
		return true;
	replica->read_to = replica->version;
	replica->read_all = true;
	if (replica->loading) {
		thr_quotas_free(replica->quotas);
		replica->quotas = replica->loading;
		replica->loading = NULL;
	}
	return false;
}

/* Whether changes are missing, and a table to read all into could be made. */
static bool missed_some(struct thr_replica *replica, uint64_t floor)
{
	struct thr_quotas *loading;

	if (!replica->read_all || replica->read_to >= floor ||
	    thr_quotas_new(thr_quotas_max(replica->quotas), false, &loading) < 0)
		return false;
	read_anew(replica, replica->epoch);
	replica->loading = loading;
	return true;
}

static void sync_done(struct thr_redis_call *call, const struct redisReply *reply)
{
	struct thr_sync *sync = THR_CONTAINER(call, struct thr_sync, call);
	struct thr_replica *replica = sync->replica;
	bool is_new, lost;

	sync->calling = false;
	if (!replica)
		return;
	if (!is_page(reply)) {
		wait_for_next(sync);
		return;
	}
	is_new = strcmp(epoch_of(reply), replica->epoch) != 0;
	lost = is_new && replica->epoch[0];
	if (is_new)
		restore_for(sync, epoch_of(reply));
	else if (missed_some(replica, (uint64_t)reply->element[3]->integer) ||
		 read_page(sync, reply))
		ask(sync);
	else
		wait_for_next(sync);
	sync->heard(sync->context, (uint64_t)reply->element[2]->integer, lost, replica->read_all);
	thr_sync_count(sync);
}

/* --- the whole --- */

static void next(struct thr_timer *timer)
{
	struct thr_sync *sync = THR_CONTAINER(timer, struct thr_sync, timer);

	if (!sync->calling)
		ask(sync);
}

static int name_keys(const char *prefix, struct thr_sync_name *name)
{
	size_t size = 0;
	char *at;

	for (size_t i = 0; i < THR_SYNC_KEYS; i++)
		size += strlen(prefix) + strlen(thr_sync_key_name[i]) + 1;
	name->text = at = malloc(size);
	if (!at)
		return -ENOMEM;
	for (size_t i = 0; i < THR_SYNC_KEYS; i++) {
		int length = sprintf(at, "%s%s", prefix, thr_sync_key_name[i]);

		name->key[i] = (struct thr_slice){at, (size_t)length};
		at += length + 1;
	}
	return 0;
}

int thr_sync_new(const struct thr_sync_parts *parts, struct thr_sync **ret_sync)
{
	struct thr_sync *sync = calloc(1, sizeof(*sync));

	if (!sync || name_keys(parts->key_prefix, &sync->name) < 0) {
		free(sync);
		return -ENOMEM;
	}
	sync->store = parts->store;
	sync->redis = parts->redis;
	sync->scripts = parts->scripts;
	sync->replica = parts->replica;
	sync->heard = parts->heard;
	sync->context = parts->context;
	sync->timer.fire = next;
	thr_link_init(&sync->changes);
	thr_loop_arm(sync->store->loop, &sync->timer, 1);
	*ret_sync = sync;
	return 0;
}

void thr_sync_now(struct thr_sync *sync)
{
	if (sync->replica && !sync->calling)
		thr_loop_arm(sync->store->loop, &sync->timer, 1);
}

void thr_sync_stop(struct thr_sync *sync)
{
	sync->replica = NULL;
	thr_loop_disarm(sync->store->loop, &sync->timer);
}

bool thr_sync_is_busy(const struct thr_sync *sync)
{
	return !thr_link_is_empty(&sync->changes);
}
