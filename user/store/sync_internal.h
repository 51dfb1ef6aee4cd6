/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The parts of what instances tell each other; see sync.h. */
#ifndef THR_SYNC_INTERNAL_H
#define THR_SYNC_INTERNAL_H

#include "store/sync.h"

#define THR_EPOCH_SIZE 64 /* with the end */
#define THR_QUOTA_TEXT 96 /* of a quota, with its version and the end */

struct thr_replica {
	struct thr_quotas *quotas;
	struct thr_quotas *loading; /* takes its place when all is read; NULL */
	char epoch[THR_EPOCH_SIZE]; /* "": nothing was heard yet */
	uint64_t version;	    /* the highest that was heard of */
	uint64_t read_to;	    /* number of the last change that was read */
	bool read_all;		    /* and there was none after it */
	/* The last change that was read or made, by which Redis' memory is tested; 0: none. */
	uint64_t last;
	size_t last_length;
	char last_key[THR_KEY_MAX];
};

struct thr_sync_name {
	struct thr_slice key[THR_SYNC_KEYS];
	char *text; /* of all */
};

struct thr_sync {
	const struct thr_store_parts *store;
	struct thr_redis *redis;
	const struct thr_redis_script *scripts;
	struct thr_sync_name name;
	struct thr_replica *replica; /* NULL: it was stopped */
	void (*heard)(void *context, uint64_t instances, bool lost, bool has_all);
	void *context;

	struct thr_timer timer;
	struct thr_redis_call call; /* SYNC or RESTORE */
	bool calling;
	char epoch[THR_EPOCH_SIZE]; /* that is restored for */
	uint64_t restored;	    /* how far, a place of the table */

	struct thr_link changes;
};

/* This change is in Redis. */
void thr_replica_note(struct thr_replica *replica, struct thr_slice key, uint64_t number);

/* Tell how many quotas there are: a part of them says nothing, and what was told stays. Of a
 * sync that was not stopped. */
void thr_sync_count(const struct thr_sync *sync);

/* The arguments that all scripts of the quotas begin with. */
#define THR_SYNC_ARGUMENTS 3
struct thr_sync_text {
	char version[THR_DECIMAL_MAX], epoch[THR_EPOCH_SIZE];
};
void thr_sync_begin(const struct thr_sync *sync, const char *epoch, struct thr_sync_text *text,
		    struct thr_slice ret_argument[static THR_SYNC_ARGUMENTS]);

/* "capacity refill on_error", as Redis keeps it after the version. */
struct thr_slice thr_quota_write(const struct thr_quota *quota, char text[static THR_QUOTA_TEXT]);

/* Of "version capacity refill on_error". Returns false when it is not a quota. */
bool thr_quota_read(const char *text, struct thr_quota *ret_quota);

#endif
