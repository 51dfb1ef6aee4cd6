/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Batches of changes; see state.h. */
#include "daemon/state.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/log.h"
#include "daemon/state_file.h"

#define BATCH_MAX 1024	  /* changes in one file */
#define BATCH_PLACES 2048 /* of the keys in it; a power of two */

#define NOBODY UINT32_MAX

struct item {
	struct item *next;
	struct thr_state_change change;
	struct thr_hash hash;
	enum thr_change_result result;
	bool is_change; /* of the table: it was judged so */
};

struct list {
	struct item *first, **end;
};

struct thr_state {
	struct thr_state_parts parts;
	char *path;
	int lock;	  /* on the file: another writer would take back what is answered */
	uint64_t version; /* the last that was given */
	struct list waiting;
	struct list batch;		   /* empty: nothing is being written */
	struct item *latest[BATCH_PLACES]; /* the last change in it of each key */
	int64_t more;			   /* keys that the batch adds, less those it removes */
	struct thr_deferred next;
	/* The thread: it is told by one to write, and tells by the other that it has. */
	bool has_thread;
	bool ending; /* atomic */
	pthread_t thread;
	int wanted;
	struct thr_io written;
	int result;
	struct thr_error error;
};

static struct thr_slice key_of(const struct item *item)
{
	return (struct thr_slice){item->change.key, item->change.key_length};
}

static void list_init(struct list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_add(struct list *list, struct item *item)
{
	item->next = NULL;
	*list->end = item;
	list->end = &item->next;
}

static struct item *list_take(struct list *list)
{
	struct item *item = list->first;

	if (!item)
		return NULL;
	list->first = item->next;
	if (!list->first)
		list->end = &list->first;
	return item;
}

/* --- judging a batch --- */

/* Where the last change of a key in the batch is, or would be. */
static struct item **latest_of(struct thr_state *state, const struct thr_hash *hash,
			       struct thr_slice key)
{
	for (size_t at = hash->word[0];; at++) {
		struct item **place = &state->latest[at % BATCH_PLACES];
		struct thr_slice other;

		if (!*place)
			return place;
		other = key_of(*place);
		if (other.length == key.length && memcmp(other.at, key.at, key.length) == 0)
			return place;
	}
}

/* The version that is in force once what came before has happened; 0: none. */
static uint64_t version_before(const struct thr_state *state, const struct item *item,
			       const struct item *latest)
{
	struct thr_quota quota;

	if (latest)
		return latest->change.kind == THR_QUOTA_PUT ? latest->change.quota.version : 0;
	return thr_quotas_find(state->parts.quotas, &item->hash, key_of(item), &quota)
		       ? quota.version
		       : 0;
}

static void judge(struct thr_state *state, struct item *item)
{
	struct item **latest = latest_of(state, &item->hash, key_of(item));
	uint64_t version = version_before(state, item, *latest);
	bool is_put = item->change.kind == THR_QUOTA_PUT;
	uint64_t count = thr_quotas_count(state->parts.quotas) + (uint64_t)state->more;

	if (!thr_condition_holds(&item->change.condition, version)) {
		item->result = THR_CHANGE_CONFLICT;
	} else if (!is_put && !version) {
		item->result = THR_CHANGE_ABSENT;
	} else if (is_put && !version && count >= thr_quotas_max(state->parts.quotas)) {
		item->result = THR_CHANGE_FULL;
	} else {
		item->result = is_put && !version ? THR_CHANGE_CREATED : THR_CHANGE_DONE;
		item->is_change = true;
		item->change.quota.version = is_put ? ++state->version : 0;
		state->more += is_put ? !version : -1;
		*latest = item;
	}
}

/* --- the thread --- */

struct writing {
	struct thr_state *state;
	struct thr_buffer text;
	int result;
};

/* What the batch does not change. */
static void put_kept(void *context, struct thr_slice key, const struct thr_quota *quota)
{
	struct writing *writing = context;
	struct thr_hash hash = thr_hash(writing->state->parts.secret, key.at, key.length);

	if (!writing->result && !*latest_of(writing->state, &hash, key))
		writing->result = thr_state_text_put(&writing->text, key, quota);
}

static int compose(struct writing *writing)
{
	struct thr_state *state = writing->state;

	writing->result = thr_state_text_begin(&writing->text, state->version);
	thr_quotas_each(state->parts.quotas, put_kept, writing);
	for (size_t i = 0; i < BATCH_PLACES && !writing->result; i++) {
		const struct item *item = state->latest[i];

		if (item && item->change.kind == THR_QUOTA_PUT)
			writing->result = thr_state_text_put(&writing->text, key_of(item),
							     &item->change.quota);
	}
	return writing->result ? writing->result : thr_state_text_end(&writing->text);
}

static int write_file(struct thr_state *state)
{
	struct writing writing = {.state = state};
	int r = compose(&writing);

	if (r)
		thr_fail(&state->error, -r, "%s: cannot be written: %s", state->path, strerror(-r));
	else
		r = thr_state_file_write(state->path, &writing.text, &state->error);
	thr_buffer_clear(&writing.text);
	return r;
}

static void *work(void *argument)
{
	struct thr_state *state = argument;
	eventfd_t unused;

	while (!eventfd_read(state->wanted, &unused) &&
	       !__atomic_load_n(&state->ending, __ATOMIC_RELAXED)) {
		state->result = write_file(state);
		eventfd_write(state->written.fd, 1);
	}
	return NULL;
}

/* --- the end of a batch --- */

static void answer(struct thr_state *state, const struct item *item, const char *why)
{
	const struct thr_state_answer answer = {
		.worker = item->change.worker,
		.number = item->change.number,
		.result = item->result,
		.version = item->is_change ? item->change.quota.version : 0,
		.why = why,
	};

	if (item->change.worker != NOBODY)
		state->parts.answer(state->parts.context, &answer);
}

static void put_in_force(struct thr_state *state)
{
	for (const struct item *item = state->batch.first; item; item = item->next) {
		if (item->is_change && item->change.kind == THR_QUOTA_PUT)
			thr_quotas_set(state->parts.quotas, &item->hash, key_of(item),
				       &item->change.quota);
		else if (item->is_change)
			thr_quotas_remove(state->parts.quotas, &item->hash, key_of(item));
	}
}

static void fail_all(struct thr_state *state)
{
	for (struct item *item = state->batch.first; item; item = item->next) {
		item->result = THR_CHANGE_FAILED;
		item->is_change = false;
	}
}

/* With the result of the file; what waits is the next batch. */
static void finish(struct thr_state *state, int result, const char *why)
{
	struct item *item;

	if (result)
		fail_all(state);
	else
		put_in_force(state);
	while ((item = list_take(&state->batch))) {
		answer(state, item, result ? why : "");
		free(item);
	}
	if (state->waiting.first)
		thr_loop_defer(state->parts.loop, &state->next);
}

/* For clients, whom it does not concern where the file is. */
static void describe(int result, char *text, size_t size)
{
	if (result == -EINPROGRESS)
		snprintf(text, size,
			 "the directory of the state file cannot be synced: this is not in force, "
			 "but whether it is after a restart is not known");
	else
		snprintf(text, size, "the state file cannot be written: %s", strerror(-result));
}

static void on_written(struct thr_io *io, uint32_t events)
{
	struct thr_state *state = THR_CONTAINER(io, struct thr_state, written);
	eventfd_t unused;
	char why[160];

	(void)events;
	if (eventfd_read(io->fd, &unused))
		return;
	describe(state->result, why, sizeof(why));
	if (state->result)
		thr_log(THR_LOG_ERROR, "%s: what was to be set for keys was refused",
			state->error.text);
	finish(state, state->result, why);
}

/* --- the next batch --- */

static int start_thread(struct thr_state *state)
{
	int r = state->has_thread ? 0 : -pthread_create(&state->thread, NULL, work, state);

	if (!r)
		state->has_thread = true;
	return r;
}

/* Returns whether there is anything to write. */
static bool begin_batch(struct thr_state *state)
{
	bool is_change = false;
	struct item *item;

	memset(state->latest, 0, sizeof(state->latest));
	state->more = 0;
	for (size_t i = 0; i < BATCH_MAX && (item = list_take(&state->waiting)); i++) {
		judge(state, item);
		list_add(&state->batch, item);
		is_change |= item->is_change;
	}
	return is_change;
}

static void on_next(struct thr_deferred *deferred)
{
	struct thr_state *state = THR_CONTAINER(deferred, struct thr_state, next);
	int r;

	if (state->batch.first)
		return;
	if (!begin_batch(state)) {
		finish(state, 0, "");
		return;
	}
	r = start_thread(state);
	if (r) {
		thr_log(THR_LOG_ERROR, "%s: a thread to write it by: %s", state->path,
			strerror(-r));
		finish(state, r, "the state file cannot be written");
		return;
	}
	eventfd_write(state->wanted, 1);
}

int thr_state_change(struct thr_state *state, const struct thr_state_change *change)
{
	struct item *item = malloc(sizeof(*item));

	if (!item)
		return -ENOMEM;
	*item = (struct item){.change = *change};
	item->hash = thr_hash(state->parts.secret, change->key, change->key_length);
	list_add(&state->waiting, item);
	thr_loop_defer(state->parts.loop, &state->next);
	return 0;
}

static void forget_in(struct list *list, unsigned int worker)
{
	for (struct item *item = list->first; item; item = item->next)
		if (item->change.worker == worker)
			item->change.worker = NOBODY;
}

void thr_state_forget(struct thr_state *state, unsigned int worker)
{
	forget_in(&state->batch, worker);
	forget_in(&state->waiting, worker);
}

/* --- the whole --- */

static int open_channels(struct thr_state *state)
{
	state->wanted = eventfd(0, EFD_CLOEXEC);
	state->written =
		(struct thr_io){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .ready = on_written};
	if (state->wanted < 0 || state->written.fd < 0)
		return -errno;
	return thr_loop_watch(state->parts.loop, &state->written, EPOLLIN);
}

int thr_state_new(const struct thr_state_parts *parts, struct thr_state **ret_state,
		  struct thr_error *error)
{
	struct thr_state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return thr_fail(error, ENOMEM, "%s: %s", parts->path, strerror(ENOMEM));
	state->parts = *parts;
	state->next.run = on_next;
	state->lock = state->wanted = state->written.fd = -1;
	list_init(&state->waiting);
	list_init(&state->batch);
	state->path = strdup(parts->path);
	r = state->path ? open_channels(state) : -ENOMEM;
	if (r)
		thr_fail(error, -r, "%s: %s", parts->path, strerror(-r));
	else
		r = thr_state_file_lock(state->path, &state->lock, error);
	if (!r)
		r = thr_state_file_read(state->path, parts->quotas, parts->secret, &state->version,
					error);
	if (r)
		thr_state_free(state);
	else
		*ret_state = state;
	return r;
}

static void drop(struct list *list)
{
	struct item *item;

	while ((item = list_take(list)))
		free(item);
}

void thr_state_free(struct thr_state *state)
{
	if (!state)
		return;
	if (state->has_thread) {
		__atomic_store_n(&state->ending, true, __ATOMIC_RELAXED);
		eventfd_write(state->wanted, 1);
		pthread_join(state->thread, NULL);
	}
	drop(&state->batch);
	drop(&state->waiting);
	if (state->written.fd >= 0) {
		thr_loop_forget(state->parts.loop, &state->written);
		close(state->written.fd);
	}
	if (state->wanted >= 0)
		close(state->wanted);
	if (state->lock >= 0)
		close(state->lock);
	free(state->path);
	free(state);
}

const char *thr_state_path(const struct thr_state *state)
{
	return state->path;
}
