/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a worker knows of Redis' quotas, and what it can put back; see sync.h.
 *
 * Removals are remembered as well, as many as Redis' log keeps: of a quota that came back
 * with an old dump or another replica, nothing else tells that it was removed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/sync_internal.h"

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

bool thr_replica_is_whole(const struct thr_replica *replica)
{
	return replica->is_whole;
}

/* --- changes --- */

void thr_replica_note(struct thr_replica *replica, struct thr_slice key, uint64_t number)
{
	if (number <= replica->last || key.length > sizeof(replica->last_key))
		return;
	replica->last = number;
	replica->last_length = key.length;
	memcpy(replica->last_key, key.at, key.length);
}

void thr_replica_set(struct thr_replica *replica, struct thr_quotas *quotas,
		     const struct thr_hash *hash, struct thr_slice key,
		     const struct thr_quota *quota)
{
	if (thr_quotas_set(quotas, hash, key, quota) < 0)
		replica->lacks_some = true;
}

void thr_replica_remove(struct thr_replica *replica, struct thr_quotas *quotas,
			const struct thr_hash *hash, struct thr_slice key, uint64_t number)
{
	struct thr_removal *removal = &replica->removed[replica->removals % THR_REMOVALS];

	thr_quotas_remove(quotas, hash, key);
	if (!number)
		return;
	replica->removals++;
	removal->number = number;
	removal->key_length = key.length;
	memcpy(removal->key, key.at, key.length);
}

/* --- reading all --- */

void thr_replica_read_anew(struct thr_replica *replica, const char *epoch)
{
	if (epoch != replica->epoch)
		snprintf(replica->epoch, sizeof(replica->epoch), "%s", epoch);
	replica->read_to = 0;
	replica->last = 0;
	replica->read_all = false;
	replica->is_whole = false;
	replica->lacks_some = false;
	thr_quotas_free(replica->loading);
	replica->loading = NULL;
}

/* What was whole before is so, and stays in use, until the second table is. */
int thr_replica_reload(struct thr_replica *replica)
{
	bool was_whole = replica->is_whole;
	struct thr_quotas *loading;
	int r = thr_quotas_new(thr_quotas_max(replica->quotas), false, &loading);

	if (r < 0)
		return r;
	thr_replica_read_anew(replica, replica->epoch);
	replica->loading = loading;
	replica->is_whole = was_whole;
	return 0;
}

void thr_replica_complete(struct thr_replica *replica)
{
	replica->read_all = true;
	replica->is_whole = true;
	if (!replica->loading)
		return;
	thr_quotas_free(replica->quotas);
	replica->quotas = replica->loading;
	replica->loading = NULL;
}

/* --- going through all --- */

bool thr_replica_next(const struct thr_replica *replica, const struct thr_hash_key *secret,
		      struct thr_known *known)
{
	struct thr_quota unused;

	if (known->place != UINT64_MAX) {
		known->place =
			thr_quotas_next(replica->quotas, known->place, &known->key, &known->quota);
		if (known->place)
			return true;
		known->place = UINT64_MAX;
		known->is_removal = true;
	}
	if (known->removal + THR_REMOVALS < replica->removals)
		known->removal = replica->removals - THR_REMOVALS;
	while (known->removal < replica->removals) {
		const struct thr_removal *removal =
			&replica->removed[known->removal++ % THR_REMOVALS];
		struct thr_hash hash = thr_hash(secret, removal->key, removal->key_length);

		known->key = (struct thr_slice){removal->key, removal->key_length};
		known->quota.version = removal->number;
		if (!thr_quotas_find(replica->quotas, &hash, known->key, &unused))
			return true;
	}
	return false;
}
