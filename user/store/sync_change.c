/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * GET, PUT and DELETE of a quota, in Redis: conditions are judged where the quota is. The
 * worker that made a change sees it at once, the others with their next look.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/writer.h"
#include "store/sync_internal.h"

#define ARGUMENTS (THR_SYNC_ARGUMENTS + 6 + THR_VERSIONS_MAX)

/* A change on its way. */
struct changing {
	struct thr_redis_call call;
	struct thr_sync *sync;
	struct thr_change *change; /* NULL: nobody waits */
	struct thr_link item;
};

static void fail(struct thr_change *change, const char *why)
{
	change->result = THR_CHANGE_FAILED;
	snprintf(change->why, sizeof(change->why), "%s", why);
}

/* What is known here, while Redis does not say: of who has not read all that is in it, that
 * is only what is there. */
static void get_here(const struct thr_sync *sync, struct thr_change *change)
{
	const struct thr_replica *replica = sync->replica;

	if (replica && thr_quotas_find(replica->quotas, &change->hash, change->key, &change->quota))
		change->result = THR_CHANGE_DONE;
	else if (replica && replica->read_all)
		change->result = THR_CHANGE_ABSENT;
	else
		fail(change, "Redis does not answer, and what is set in it is not known here");
}

/* --- the reply --- */

static bool is_answer(const struct redisReply *reply)
{
	return reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
	       reply->element[0]->type == REDIS_REPLY_STRING;
}

/* The result of a word of the script; THR_CHANGE_FAILED for any other. */
static enum thr_change_result result_of(const char *word)
{
	static const struct {
		const char *word;
		enum thr_change_result result;
	} results[] = {
		{"done", THR_CHANGE_DONE},	   {"created", THR_CHANGE_CREATED},
		{"absent", THR_CHANGE_ABSENT},	   {"full", THR_CHANGE_FULL},
		{"conflict", THR_CHANGE_CONFLICT},
	};

	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		if (strcmp(word, results[i].word) == 0)
			return results[i].result;
	return THR_CHANGE_FAILED;
}

static void got(struct thr_change *change, const struct redisReply *value)
{
	if (change->result != THR_CHANGE_DONE)
		return;
	if (value->type != REDIS_REPLY_STRING || !thr_quota_read(value->str, &change->quota))
		fail(change, "what Redis has for the key is not a quota");
}

static void apply(struct thr_replica *replica, struct thr_quotas *quotas,
		  const struct thr_change *change)
{
	if (change->kind == THR_QUOTA_DELETE)
		thr_replica_remove(replica, quotas, &change->hash, change->key,
				   change->quota.version);
	else
		thr_replica_set(replica, quotas, &change->hash, change->key, &change->quota);
}

/* What is in force in Redis is so here too, and in what takes the place of the table. */
static void changed(struct thr_sync *sync, struct thr_change *change,
		    const struct redisReply *value)
{
	struct thr_replica *replica = sync->replica;

	if (change->result != THR_CHANGE_DONE && change->result != THR_CHANGE_CREATED)
		return;
	if (value->type != REDIS_REPLY_INTEGER || value->integer <= 0) {
		fail(change, "Redis answered something else than a version");
		return;
	}
	change->quota.version = (uint64_t)value->integer;
	if (!replica)
		return;
	if (change->quota.version > replica->version)
		replica->version = change->quota.version;
	thr_replica_note(replica, change->key, change->quota.version);
	apply(replica, replica->quotas, change);
	if (replica->loading)
		apply(replica, replica->loading, change);
	thr_sync_count(sync);
}

static void answer(struct thr_sync *sync, const struct thr_redis_call *call,
		   struct thr_change *change, const struct redisReply *reply)
{
	if (is_answer(reply)) {
		change->result = result_of(reply->element[0]->str);
		if (change->kind == THR_QUOTA_GET)
			got(change, reply->element[1]);
		else
			changed(sync, change, reply->element[1]);
	} else if (change->kind == THR_QUOTA_GET) {
		get_here(sync, change);
	} else if (reply && reply->type == REDIS_REPLY_ERROR) {
		fail(change, reply->str);
	} else {
		fail(change, call->why ? call->why : "Redis answered something else");
	}
}

static void change_done(struct thr_redis_call *call, const struct redisReply *reply)
{
	struct changing *changing = THR_CONTAINER(call, struct changing, call);
	struct thr_change *change = changing->change;

	thr_link_remove(&changing->item);
	if (change) {
		answer(changing->sync, call, change, reply);
		change->owner = NULL;
		change->done(change);
	}
	free(changing);
}

/* --- the call --- */

static int call_script(struct thr_sync *sync, struct changing *changing)
{
	static const char *const kinds[] = {"get", "put", "delete"};
	const struct thr_change *change = changing->change;
	const struct thr_condition *condition = &change->condition;
	char most[THR_DECIMAL_MAX], kind[THR_DECIMAL_MAX], value[THR_QUOTA_TEXT];
	char version[THR_VERSIONS_MAX][THR_DECIMAL_MAX];
	struct thr_slice argument[ARGUMENTS];
	size_t used = THR_SYNC_ARGUMENTS + 6;
	struct thr_sync_text text = {0};

	thr_sync_begin(sync, sync->replica->epoch, &text, argument);
	argument[3] = (struct thr_slice){kinds[change->kind], strlen(kinds[change->kind])};
	argument[4] = change->key;
	argument[5] = change->kind == THR_QUOTA_PUT ? thr_quota_write(&change->quota, value)
						    : THR_SLICE("");
	argument[6] = thr_decimal(thr_quotas_max(sync->replica->quotas), most);
	argument[7] = thr_decimal((uint64_t)condition->kind, kind);
	argument[8] = condition->any ? THR_SLICE("1") : THR_SLICE("0");
	for (size_t i = 0; i < condition->count; i++)
		argument[used++] = thr_decimal(condition->version[i], version[i]);
	return thr_redis_eval(sync->redis, &changing->call, &sync->scripts[THR_SCRIPT_CHANGE],
			      sync->name.key, THR_SYNC_KEYS, argument, used);
}

bool thr_sync_change(struct thr_sync *sync, struct thr_change *change)
{
	struct changing *changing = calloc(1, sizeof(*changing));
	int r = -ENOMEM;

	if (changing) {
		changing->call.done = change_done;
		changing->sync = sync;
		changing->change = change;
		r = call_script(sync, changing);
	}
	if (r == 0) {
		thr_link_add_last(&sync->changes, &changing->item);
		change->owner = changing;
		return false;
	}
	free(changing);
	if (change->kind == THR_QUOTA_GET)
		get_here(sync, change);
	else
		fail(change, r == -ENOMEM ? "there is no memory left" : "Redis does not answer");
	return true;
}

void thr_sync_forget(struct thr_change *change)
{
	struct changing *changing = change->owner;

	changing->change = NULL;
	change->owner = NULL;
}

void thr_sync_free(struct thr_sync *sync)
{
	if (!sync)
		return;
	thr_loop_disarm(sync->store->loop, &sync->timer);
	if (sync->calling)
		thr_redis_forget(sync->redis, &sync->call);
	while (!thr_link_is_empty(&sync->changes)) {
		struct changing *changing =
			THR_CONTAINER(sync->changes.next, struct changing, item);

		if (changing->change)
			changing->change->owner = NULL;
		thr_redis_forget(sync->redis, &changing->call);
		thr_link_remove(&changing->item);
		free(changing);
	}
	free(sync->name.text);
	free(sync);
}
