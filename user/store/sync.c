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
#define EXACT_BITS 53	/* of a number in the scripts */
#define TELL_BYTES 320	/* bytes of a line for people, with its end */

void thr_sync_count(const struct thr_sync *sync)
{
	if (sync->replica->read_all)
		sync->store->counts->quotas = thr_quotas_count(sync->replica->quotas);
}

/* The number of a removal, which the scripts count exactly; 0: the text is something else. */
static uint64_t removal_read(const char *text)
{
	char *end;
	uint64_t number = strtoull(text, &end, 10);

	return *end || number >> EXACT_BITS ? 0 : number;
}

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
		thr_replica_set(replica, quotas, &hash, key, &quota);
	else
		thr_replica_remove(replica, quotas, &hash, key, removal_read(text));
}

/* --- what people are told --- */

/* A line for each change of what is wrong. */
static void tell(struct thr_sync *sync, enum thr_sync_state state, const char *what,
		 const char *detail)
{
	char text[TELL_BYTES];

	if (sync->told == state)
		return;
	sync->told = state;
	snprintf(text, sizeof(text), "redis: %s%s", what, detail);
	thr_clean_line(text);
	sync->store->tell(sync->store->context, state != THR_SYNC_FOLLOWS, text);
}

static void tell_read(struct thr_sync *sync)
{
	if (sync->replica->lacks_some)
		tell(sync, THR_SYNC_LACKS,
		     "more keys have a config than api.max_configs: some go by the default here: "
		     "write a larger number, and restart",
		     "");
	else
		tell(sync, THR_SYNC_FOLLOWS, "configs of keys are followed again", "");
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

/* Put back some of what the replica knows; when all is, read what Redis has. */
static void restore(struct thr_sync *sync)
{
	const struct thr_hash_key *secret = thr_memory_hash_key(sync->store->buckets);
	struct thr_slice argument[THR_SYNC_ARGUMENTS + 3 * RESTORE_KEYS];
	char version[RESTORE_KEYS][THR_DECIMAL_MAX];
	char value[RESTORE_KEYS][THR_QUOTA_TEXT];
	size_t used = THR_SYNC_ARGUMENTS, keys = 0;
	struct thr_known *known = &sync->restoring;
	struct thr_sync_text text = {0};

	sync->restoring = sync->restored;
	thr_sync_begin(sync, sync->epoch, &text, argument);
	for (; keys < RESTORE_KEYS && thr_replica_next(sync->replica, secret, known); keys++) {
		char words[THR_QUOTA_TEXT];
		int length = 0;

		if (!known->is_removal) {
			thr_quota_write(&known->quota, words);
			length = snprintf(value[keys], sizeof(value[keys]), "%" PRIu64 " %s",
					  known->quota.version, words);
		}
		argument[used++] = known->key;
		argument[used++] = thr_decimal(known->quota.version, version[keys]);
		argument[used++] = (struct thr_slice){value[keys], (size_t)length};
	}
	if (!keys) {
		thr_replica_read_anew(sync->replica, sync->epoch);
		ask(sync);
		return;
	}
	sync->call.done = restore_done;
	call_script(sync, THR_SCRIPT_RESTORE, argument, used);
}

/* From the first one on, or where a call of the same epoch was not answered. */
static void restore_for(struct thr_sync *sync, const char *epoch)
{
	if (strcmp(epoch, sync->epoch) != 0) {
		snprintf(sync->epoch, sizeof(sync->epoch), "%s", epoch);
		sync->restored = (struct thr_known){0};
	}
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

/* It was not answered, which the breaker sees to, or in other words than it should be. */
static void refused(struct thr_sync *sync, const struct redisReply *reply)
{
	if (reply)
		tell(sync, THR_SYNC_REFUSED,
		     "configs of keys are not followed, those that were read stay in force: ",
		     reply->type == REDIS_REPLY_ERROR ? reply->str : "it answers something else");
	wait_for_next(sync);
}

static void restore_done(struct thr_redis_call *call, const struct redisReply *reply)
{
	struct thr_sync *sync = THR_CONTAINER(call, struct thr_sync, call);
	const char *epoch = epoch_of(reply);

	sync->calling = false;
	if (!sync->replica)
		return;
	if (epoch) {
		sync->restored = sync->restoring;
		restore_for(sync, epoch);
	} else {
		refused(sync, reply);
	}
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

/* Apply a page of changes. Returns whether there may be more: numbers that do not grow are not
 * ours, and are not asked for again at once. */
static bool read_page(struct thr_sync *sync, const struct redisReply *reply)
{
	struct thr_replica *replica = sync->replica;
	uint64_t before = replica->read_to;

	for (size_t i = HEADER; i < reply->elements; i += 3) {
		const struct redisReply *name = reply->element[i + 1];
		const struct thr_slice key = {name->str, (size_t)name->len};

		replica->read_to = (uint64_t)reply->element[i]->integer;
		thr_replica_note(replica, key, replica->read_to);
		apply(sync, key, reply->element[i + 2]->str);
	}
	replica->version = (uint64_t)reply->element[1]->integer;
	if (reply->elements == HEADER + 3 * PAGE)
		return replica->read_to > before;
	replica->read_to = replica->version;
	thr_replica_complete(replica);
	tell_read(sync);
	return false;
}

/* Whether there is something to read that the next page does not have: removals that were dropped
 * from the log since the last one, or keys that there was no place for, and is now. */
static bool missed_some(const struct thr_replica *replica, uint64_t floor)
{
	bool has_begun = replica->read_to || replica->read_all;

	if (has_begun && replica->read_to < floor && replica->floor < floor)
		return true;
	return replica->lacks_some && replica->read_all &&
	       thr_quotas_count(replica->quotas) < thr_quotas_max(replica->quotas);
}

/* A page of the epoch that the replica is of. */
static void follow(struct thr_sync *sync, const struct redisReply *reply)
{
	uint64_t floor = (uint64_t)reply->element[3]->integer;
	struct thr_replica *replica = sync->replica;
	bool more;

	sync->epoch[0] = '\0'; /* nothing is being put back */
	if (missed_some(replica, floor)) {
		more = thr_replica_reload(replica) == 0;
	} else {
		replica->floor = floor;
		more = read_page(sync, reply);
	}
	if (more)
		ask(sync);
	else
		wait_for_next(sync);
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
		refused(sync, reply);
		return;
	}
	is_new = strcmp(epoch_of(reply), replica->epoch) != 0;
	lost = is_new && replica->epoch[0];
	if (is_new)
		restore_for(sync, epoch_of(reply));
	else
		follow(sync, reply);
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
	/* It may be another server: what the one before was told is to be told again. */
	sync->epoch[0] = '\0';
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
