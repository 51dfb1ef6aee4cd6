/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The parts of what instances tell each other; see sync.h. */
#ifndef THR_SYNC_INTERNAL_H
#define THR_SYNC_INTERNAL_H

#include "core/writer.h"
#include "store/sync.h"

#define THR_EPOCH_SIZE 64 /* with the end */
#define THR_QUOTA_TEXT 96 /* of a quota, with its version and the end */
#define THR_REMOVALS 1000 /* that are remembered: as many as Redis' log keeps */

struct thr_removal {
	uint64_t number;
	size_t key_length;
	char key[THR_KEY_MAX];
};

struct thr_replica {
	struct thr_quotas *quotas;
	struct thr_quotas *loading; /* takes its place when all is read; NULL */
	char epoch[THR_EPOCH_SIZE]; /* "": nothing was heard yet */
	uint64_t version;	    /* the highest that was heard of */
	uint64_t read_to;	    /* number of the last change that was read */
	uint64_t floor;		    /* of the log, when it was */
	bool read_all;		    /* and there was none after it */
	bool is_whole;		    /* the table had all of the epoch, and is in use still */
	bool lacks_some;	    /* which the table had no place for */
	/* The last change that was read or made, by which Redis' memory is tested; 0: none. */
	uint64_t last;
	size_t last_length;
	char last_key[THR_KEY_MAX];
	/* The last removals, to be made again where they are lost: a ring. */
	uint64_t removals; /* so far; the next one is at this, modulo THR_REMOVALS */
	struct thr_removal removed[THR_REMOVALS];
};

/* What is known, a quota or a removal (of a version alone), and how far it was gone through. */
struct thr_known {
	uint64_t place, removal; /* 0 at first */
	struct thr_slice key;
	struct thr_quota quota;
	bool is_removal;
};

struct thr_sync_name {
	struct thr_slice key[THR_SYNC_KEYS];
	char *text; /* of all */
};

/* What people are told of. */
enum thr_sync_state {
	THR_SYNC_FOLLOWS,
	THR_SYNC_REFUSED, /* Redis does not do what it is asked for */
	THR_SYNC_LACKS,	  /* the table has no place for some */
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
	struct thr_known restored;  /* the last one */
	struct thr_known restoring; /* the last one of the call */
	enum thr_sync_state told;

	struct thr_link changes;
};

/* --- the replica --- */

/* This change is in Redis. */
void thr_replica_note(struct thr_replica *replica, struct thr_slice key, uint64_t number);

/* Apply it to a table of the replica. Of a key that is one too many it is remembered that the
 * replica lacks some. */
void thr_replica_set(struct thr_replica *replica, struct thr_quotas *quotas,
		     const struct thr_hash *hash, struct thr_slice key,
		     const struct thr_quota *quota);
void thr_replica_remove(struct thr_replica *replica, struct thr_quotas *quotas,
			const struct thr_hash *hash, struct thr_slice key, uint64_t number);

/* Read all from the first change on. */
void thr_replica_read_anew(struct thr_replica *replica, const char *epoch);

/* The same into a second table. Returns 0 or -ENOMEM. */
int thr_replica_reload(struct thr_replica *replica);

/* All was read: the second table, where there is one, takes the place of the first. */
void thr_replica_complete(struct thr_replica *replica);

/* The next one: quotas first. Returns false when there is none. */
bool thr_replica_next(const struct thr_replica *replica, const struct thr_hash_key *secret,
		      struct thr_known *known);

/* --- */

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
