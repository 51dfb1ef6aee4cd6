/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A client and what uses it; see remote.h. */
#include "store/remote.h"

#include <errno.h>
#include <stdlib.h>

#define RETIRE_MS 100 /* between two looks whether somebody waits */

struct thr_remote {
	const struct thr_store_parts *parts;
	struct thr_redis_settings settings;
	struct thr_redis_script scripts[THR_SCRIPTS];
	struct thr_redis *redis;
	struct thr_shared *shared;
	struct thr_sync *sync;
	struct thr_replica *replica; /* NULL: left to another */

	struct thr_link item;	 /* of the retired ones */
	struct thr_timer retire; /* without `fire` while it is used */
};

bool thr_remote_has(const struct thr_remote *remote, const struct thr_redis_settings *settings)
{
	return thr_redis_settings_are_same(&remote->settings, settings);
}

/* --- what happens to it --- */

static void breaker_changed(void *context, bool bad, const char *text)
{
	struct thr_remote *remote = context;
	const struct thr_store_parts *parts = remote->parts;

	if (remote->retire.fire)
		return;
	parts->counts->breaker = thr_redis_breaker(remote->redis);
	parts->tell(parts->context, bad, text);
	if (bad)
		return;
	thr_shared_distrust(remote->shared);
	thr_sync_now(remote->sync);
}

static void heard(void *context, uint64_t instances, bool lost, bool has_all)
{
	struct thr_remote *remote = context;
	struct thr_store_counts *counts = remote->parts->counts;

	counts->instances = instances;
	counts->breaker = thr_redis_breaker(remote->redis);
	thr_shared_set_instances(remote->shared, instances);
	thr_shared_set_informed(remote->shared, has_all);
	if (lost)
		thr_shared_distrust(remote->shared);
}

/* --- the whole --- */

static int new_client(struct thr_remote *remote, struct thr_error *error)
{
	struct thr_store_counts *counts = remote->parts->counts;
	const struct thr_redis_events events = {.changed = breaker_changed, .context = remote};
	const struct thr_redis_counts client_counts = {
		.commands = &counts->commands,
		.errors = &counts->call_errors,
		.timeouts = &counts->call_timeouts,
		.opened = &counts->opened,
	};

	thr_scripts_fill(remote->scripts);
	return thr_redis_new(remote->parts->loop, remote->parts->resolver, &remote->settings,
			     remote->scripts, THR_SCRIPTS, &events, &client_counts, &remote->redis,
			     error);
}

static int new_users(struct thr_remote *remote)
{
	const struct thr_redis_settings *settings = &remote->settings;
	const char *prefix = settings->key_prefix ? settings->key_prefix : "";
	const struct thr_shared_parts shared = {
		.store = remote->parts,
		.redis = remote->redis,
		.scripts = remote->scripts,
		.key_prefix = prefix,
		.deadline_ms = settings->deadline_ms,
		.lease = settings->lease,
	};
	const struct thr_sync_parts sync = {
		.store = remote->parts,
		.redis = remote->redis,
		.scripts = remote->scripts,
		.key_prefix = prefix,
		.replica = remote->replica,
		.heard = heard,
		.context = remote,
	};
	int r = thr_shared_new(&shared, &remote->shared);

	return r < 0 ? r : thr_sync_new(&sync, &remote->sync);
}

/* Its own replica, or that of the one before. */
static int find_replica(struct thr_remote *remote, struct thr_remote *before)
{
	if (!before || !thr_redis_settings_are_same_place(&before->settings, &remote->settings))
		return thr_replica_new(thr_quotas_max(remote->parts->quotas), &remote->replica);
	remote->replica = before->replica;
	return 0;
}

int thr_remote_new(const struct thr_store_parts *parts, const struct thr_redis_settings *settings,
		   struct thr_remote *before, struct thr_remote **ret_remote,
		   struct thr_error *error)
{
	struct thr_remote *remote = calloc(1, sizeof(*remote));
	int r;

	if (!remote)
		return thr_fail(error, ENOMEM, "there is no memory left");
	remote->parts = parts;
	thr_link_init(&remote->item);
	r = thr_redis_settings_copy(settings, &remote->settings);
	if (r == 0)
		r = new_client(remote, error);
	else
		thr_fail(error, ENOMEM, "there is no memory left");
	if (r == 0) {
		r = find_replica(remote, before);
		if (r == 0)
			r = new_users(remote);
		if (r < 0)
			thr_fail(error, -r, "there is no memory left for what is known of Redis");
	}
	if (r < 0) {
		if (before && remote->replica == before->replica)
			remote->replica = NULL;
		thr_remote_free(remote);
		return r;
	}
	if (before && remote->replica == before->replica) {
		thr_shared_inherit(remote->shared, before->shared);
		thr_sync_stop(before->sync);
		before->replica = NULL;
	}
	*ret_remote = remote;
	return 0;
}

void thr_remote_free(struct thr_remote *remote)
{
	if (!remote)
		return;
	thr_loop_disarm(remote->parts->loop, &remote->retire);
	thr_link_remove(&remote->item);
	thr_shared_free(remote->shared);
	thr_sync_free(remote->sync);
	thr_redis_free(remote->redis);
	thr_replica_free(remote->replica);
	thr_redis_settings_clear(&remote->settings);
	free(remote);
}

static void look_whether_idle(struct thr_timer *timer)
{
	struct thr_remote *remote = THR_CONTAINER(timer, struct thr_remote, retire);

	if (thr_shared_is_busy(remote->shared) || thr_sync_is_busy(remote->sync))
		thr_loop_arm(remote->parts->loop, timer, RETIRE_MS);
	else
		thr_remote_free(remote);
}

void thr_remote_retire(struct thr_remote *remote, struct thr_link *list)
{
	thr_sync_stop(remote->sync);
	thr_shared_end_leases(remote->shared);
	thr_link_add_last(list, &remote->item);
	remote->retire.fire = look_whether_idle;
	thr_loop_arm(remote->parts->loop, &remote->retire, RETIRE_MS);
}

void thr_remote_free_retired(struct thr_link *list)
{
	while (!thr_link_is_empty(list))
		thr_remote_free(THR_CONTAINER(list->next, struct thr_remote, item));
}

struct thr_shared *thr_remote_shared(struct thr_remote *remote)
{
	return remote->shared;
}

struct thr_sync *thr_remote_sync(struct thr_remote *remote)
{
	return remote->sync;
}

const struct thr_quotas *thr_remote_quotas(const struct thr_remote *remote)
{
	return thr_replica_quotas(remote->replica);
}

bool thr_remote_has_all_quotas(const struct thr_remote *remote)
{
	return thr_replica_is_whole(remote->replica);
}

enum thr_breaker thr_remote_breaker(const struct thr_remote *remote)
{
	return (enum thr_breaker)thr_redis_breaker(remote->redis);
}
