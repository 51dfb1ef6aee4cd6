/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is set for keys: changes in batches, what is kept of them, and files that are not
 * whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "daemon/state.h"
#include "daemon/state_file.h"
#include "support/run.h"

#define ANSWERS 4096
#define MAX 8	     /* keys */
#define NOBODY 65534 /* its user and group */

static const struct thr_hash_key secret = {{1, 2}};

struct got {
	unsigned int worker;
	uint64_t number;
	enum thr_change_result result;
	uint64_t version;
	char why[160];
};

struct fixture {
	char folder[32], path[64];
	struct thr_loop *loop;
	struct thr_quotas *quotas;
	struct thr_state *state;
	struct got got[ANSWERS];
	size_t answered;
};

/* What was synced, by its path, since the fixture was made; and what cannot be. */
static struct {
	char path[32][80];
	size_t count;
	char refused[80];
} syncs;

/* In the place of the C library's. */
int fsync(int fd)
{
	char link[32], path[80] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	assert_true(readlink(link, path, sizeof(path) - 1) > 0);
	if (syncs.count < ARRAY_SIZE(syncs.path))
		memcpy(syncs.path[syncs.count++], path, sizeof(path));
	if (strcmp(path, syncs.refused) != 0)
		return (int)syscall(SYS_fsync, fd);
	errno = EIO;
	return -1;
}

static bool was_synced(const char *path)
{
	for (size_t i = 0; i < syncs.count; i++)
		if (strcmp(syncs.path[i], path) == 0)
			return true;
	return false;
}

static void on_answer(void *context, const struct thr_state_answer *answer)
{
	struct fixture *fixture = context;
	struct got *got = &fixture->got[fixture->answered++];

	assert_true(fixture->answered <= ANSWERS);
	*got = (struct got){answer->worker, answer->number, answer->result, answer->version, ""};
	snprintf(got->why, sizeof(got->why), "%s", answer->why);
}

static int open_state(struct fixture *fixture, struct thr_error *error)
{
	const struct thr_state_parts parts = {
		.loop = fixture->loop,
		.quotas = fixture->quotas,
		.secret = &secret,
		.path = fixture->path,
		.answer = on_answer,
		.context = fixture,
	};

	return thr_state_new(&parts, &fixture->state, error);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	memset(&syncs, 0, sizeof(syncs));
	strcpy(fixture->folder, "/tmp/thr-state-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/limits.json", fixture->folder);
	assert_int_equal(thr_loop_new(&fixture->loop), 0);
	assert_int_equal(thr_quotas_new(MAX, true, &fixture->quotas), 0);
	assert_int_equal(open_state(fixture, NULL), 0);
	*state = fixture;
	return 0;
}

static void close_all(struct fixture *fixture)
{
	thr_state_free(TAKE_PTR(fixture->state));
	thr_quotas_free(fixture->quotas);
	fixture->quotas = NULL;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	char command[64];

	close_all(fixture);
	thr_loop_free(fixture->loop);
	snprintf(command, sizeof(command), "rm -rf %s", fixture->folder);
	assert_int_equal(system(command), 0);
	free(fixture);
	return 0;
}

/* As after a restart. */
static int reopen(struct fixture *fixture, uint64_t max, struct thr_error *error)
{
	close_all(fixture);
	assert_int_equal(thr_quotas_new(max, true, &fixture->quotas), 0);
	return open_state(fixture, error);
}

static void change(struct fixture *fixture, const char *key, enum thr_change_kind kind,
		   const struct thr_condition *condition)
{
	static uint64_t number;
	struct thr_state_change change = {.worker = 1, .number = ++number, .kind = kind};
	const char *why;

	if (condition)
		change.condition = *condition;
	assert_int_equal(thr_quota_make(7, 0.1, THR_ON_ERROR_DENY, &change.quota, &why), 0);
	change.key_length = strlen(key);
	memcpy(change.key, key, change.key_length);
	assert_int_equal(thr_state_change(fixture->state, &change), 0);
}

/* Turn until `count` were answered since the last time; the first of them. */
static const struct got *answers(struct fixture *fixture, size_t count)
{
	fixture->answered = 0;
	while (fixture->answered < count)
		assert_int_equal(thr_loop_turn(fixture->loop, 10000), 0);
	assert_int_equal(fixture->answered, count);
	return fixture->got;
}

static const struct got *put(struct fixture *fixture, const char *key)
{
	change(fixture, key, THR_QUOTA_PUT, NULL);
	return answers(fixture, 1);
}

/* 0: nothing is set. */
static uint64_t version_of(const struct fixture *fixture, const char *key)
{
	struct thr_slice name = {key, strlen(key)};
	const struct thr_hash hash = thr_hash(&secret, name.at, name.length);
	struct thr_quota quota;

	return thr_quotas_find(fixture->quotas, &hash, name, &quota) ? quota.version : 0;
}

static char *read_all(const char *path, size_t *ret_size)
{
	AUTO_FCLOSE FILE *file = fopen(path, "r");
	char *text = malloc(1 << 16);

	assert_non_null(file);
	assert_non_null(text);
	*ret_size = fread(text, 1, 1 << 16, file);
	return text;
}

static void write_all(const char *path, const char *text, size_t size)
{
	AUTO_FCLOSE FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
}

/* --- changes --- */

static void what_is_answered_is_there_after_a_restart(void **state)
{
	struct fixture *fixture = *state;
	const struct got *got = put(fixture, "user:1");

	assert_int_equal(got->result, THR_CHANGE_CREATED);
	assert_int_equal(got->version, 1);
	assert_int_equal(version_of(fixture, "user:1"), 1);
	got = put(fixture, "user:1");
	assert_int_equal(got->result, THR_CHANGE_DONE);
	assert_int_equal(got->version, 2);
	put(fixture, "user:2");
	change(fixture, "user:2", THR_QUOTA_DELETE, NULL);
	assert_int_equal(answers(fixture, 1)->result, THR_CHANGE_DONE);
	assert_int_equal(reopen(fixture, MAX, NULL), 0);
	assert_int_equal(version_of(fixture, "user:1"), 2);
	assert_int_equal(version_of(fixture, "user:2"), 0);
	/* A version is not given twice, though what had the last is gone. */
	assert_int_equal(put(fixture, "user:3")->version, 4);
}

static void nothing_is_in_force_before_it_is_on_disk(void **state)
{
	struct fixture *fixture = *state;

	change(fixture, "user:1", THR_QUOTA_PUT, NULL);
	assert_int_equal(thr_loop_turn(fixture->loop, 0), 0);
	if (!fixture->answered)
		assert_int_equal(version_of(fixture, "user:1"), 0);
	while (!fixture->answered) {
		assert_int_equal(version_of(fixture, "user:1"), 0);
		assert_int_equal(thr_loop_turn(fixture->loop, 10000), 0);
	}
	assert_int_equal(version_of(fixture, "user:1"), 1);
}

static void changes_that_come_while_a_file_is_written_share_the_next(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	struct inotify_event event[16];
	ssize_t got;

	assert_true(inotify_add_watch(watch, fixture->folder, IN_CREATE | IN_MOVED_TO) >= 0);
	change(fixture, "a", THR_QUOTA_PUT, NULL);
	assert_int_equal(thr_loop_turn(fixture->loop, 0), 0); /* the first is begun */
	if (fixture->answered)
		fixture->answered = 0;
	for (int i = 0; i < 500; i++)
		change(fixture, i % 2 ? "b" : "c", THR_QUOTA_PUT, NULL);
	while (version_of(fixture, "b") != 501)
		assert_int_equal(thr_loop_turn(fixture->loop, 10000), 0);
	got = read(watch, event, sizeof(event));
	/* Two files, each made under its name aside and moved. */
	assert_int_equal(got, 4 * (ssize_t)(sizeof(event[0]) + 16));
}

static void conditions_see_the_changes_before_them(void **state)
{
	const struct thr_condition none = {.kind = THR_IF_NONE_MATCH, .any = true};
	const struct thr_condition first = {.kind = THR_IF_MATCH, .count = 1, .version = {1}};
	struct fixture *fixture = *state;
	const struct got *got;

	change(fixture, "a", THR_QUOTA_PUT, &none);
	change(fixture, "a", THR_QUOTA_PUT, &none);  /* there is one by then */
	change(fixture, "a", THR_QUOTA_PUT, &first); /* and it has version 1 */
	change(fixture, "a", THR_QUOTA_PUT, &first); /* which is replaced */
	change(fixture, "a", THR_QUOTA_DELETE, NULL);
	change(fixture, "a", THR_QUOTA_DELETE, NULL);
	change(fixture, "a", THR_QUOTA_PUT, &none);
	got = answers(fixture, 7);
	assert_int_equal(got[0].result, THR_CHANGE_CREATED);
	assert_int_equal(got[1].result, THR_CHANGE_CONFLICT);
	assert_int_equal(got[2].result, THR_CHANGE_DONE);
	assert_int_equal(got[3].result, THR_CHANGE_CONFLICT);
	assert_int_equal(got[4].result, THR_CHANGE_DONE);
	assert_int_equal(got[5].result, THR_CHANGE_ABSENT);
	assert_int_equal(got[6].result, THR_CHANGE_CREATED);
	assert_int_equal(got[6].version, 3);
	assert_int_equal(version_of(fixture, "a"), 3);
	assert_int_equal(reopen(fixture, MAX, NULL), 0);
	assert_int_equal(version_of(fixture, "a"), 3);
}

static void there_are_as_many_as_there_may_be(void **state)
{
	struct fixture *fixture = *state;
	const struct got *got;
	char key[8];

	for (int i = 0; i <= MAX; i++) {
		snprintf(key, sizeof(key), "%d", i);
		change(fixture, key, THR_QUOTA_PUT, NULL);
	}
	change(fixture, "0", THR_QUOTA_DELETE, NULL);
	change(fixture, key, THR_QUOTA_PUT, NULL);
	got = answers(fixture, MAX + 3);
	assert_int_equal(got[MAX - 1].result, THR_CHANGE_CREATED);
	assert_int_equal(got[MAX].result, THR_CHANGE_FULL);
	assert_int_equal(got[MAX + 2].result, THR_CHANGE_CREATED);
	assert_int_equal(thr_quotas_count(fixture->quotas), MAX);
}

static void a_worker_that_is_gone_is_not_answered(void **state)
{
	struct fixture *fixture = *state;

	change(fixture, "a", THR_QUOTA_PUT, NULL);
	thr_state_forget(fixture->state, 1);
	while (!version_of(fixture, "a"))
		assert_int_equal(thr_loop_turn(fixture->loop, 10000), 0);
	assert_int_equal(fixture->answered, 0);
}

/* The folder is gone, and a file is in its place. */
static void what_cannot_be_written_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	const struct got *got;
	char lock[80];

	put(fixture, "a");
	snprintf(lock, sizeof(lock), "%s.lock", fixture->path);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(unlink(fixture->path), 0);
	assert_int_equal(rmdir(fixture->folder), 0);
	write_all(fixture->folder, "", 0);
	change(fixture, "a", THR_QUOTA_DELETE, NULL);
	change(fixture, "b", THR_QUOTA_PUT, NULL);
	got = answers(fixture, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(got[i].result, THR_CHANGE_FAILED);
		assert_non_null(strstr(got[i].why, strerror(ENOTDIR)));
		assert_null(strstr(got[i].why, fixture->folder));
	}
	assert_int_equal(version_of(fixture, "a"), 1);
	assert_int_equal(version_of(fixture, "b"), 0);

	/* It goes on when that is mended; a folder that is missing is made. */
	assert_int_equal(unlink(fixture->folder), 0);
	got = put(fixture, "b");
	assert_int_equal(got->result, THR_CHANGE_CREATED);
	assert_true(got->version > 1);
	assert_int_equal(reopen(fixture, MAX, NULL), 0);
	assert_int_equal(version_of(fixture, "a"), 1);
}

/* The file is the new one by then: nobody is told that all is as before. */
static void what_may_be_in_force_after_a_restart_is_said_to_be_so(void **state)
{
	struct fixture *fixture = *state;
	const struct got *got;

	put(fixture, "a");
	strcpy(syncs.refused, fixture->folder);
	got = put(fixture, "b");
	assert_int_equal(got->result, THR_CHANGE_FAILED);
	assert_non_null(strstr(got->why, "after a restart is not known"));
	assert_null(strstr(got->why, fixture->folder));
	assert_int_equal(version_of(fixture, "b"), 0);

	/* The next file is without it. */
	*syncs.refused = '\0';
	put(fixture, "c");
	assert_int_equal(reopen(fixture, MAX, NULL), 0);
	assert_int_equal(version_of(fixture, "b"), 0);
	assert_int_equal(version_of(fixture, "c"), 3);
}

static void the_file_is_its_owners_alone_and_nothing_is_left_aside(void **state)
{
	struct fixture *fixture = *state;
	struct stat status;
	char aside[80];

	snprintf(aside, sizeof(aside), "%s.new", fixture->path);
	write_all(aside, "from a crash", 12);
	put(fixture, "a");
	assert_int_equal(stat(fixture->path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(access(aside, F_OK), -1);
}

/* Two that write would take back what the other has answered. */
static void a_file_has_one_writer(void **state)
{
	struct fixture *fixture = *state;
	struct thr_state *first;
	struct thr_error error;

	put(fixture, "a");
	first = TAKE_PTR(fixture->state);
	assert_int_equal(open_state(fixture, &error), -EBUSY);
	assert_null(fixture->state);
	assert_non_null(strstr(error.text, fixture->path));
	assert_non_null(strstr(error.text, "another process"));
	assert_non_null(strstr(error.text, "store.memory.state_file"));
	thr_state_free(first);
	assert_int_equal(reopen(fixture, MAX, &error), 0);
	assert_int_equal(version_of(fixture, "a"), 1);
}

/* As somebody who owns what is there, but must not write in the folder. */
static int open_where_nothing_may_be_written(struct fixture *fixture, struct thr_error *error)
{
	bool is_root = geteuid() == 0;
	char lock[80];
	int r;

	snprintf(lock, sizeof(lock), "%s.lock", fixture->path);
	thr_state_free(TAKE_PTR(fixture->state));
	assert_int_equal(chmod(fixture->folder, 0500), 0);
	if (is_root) {
		assert_int_equal(chown(fixture->folder, NOBODY, NOBODY), 0);
		assert_int_equal(chown(lock, NOBODY, NOBODY), 0);
		assert_int_equal(seteuid(NOBODY), 0);
	}
	r = open_state(fixture, error);
	if (is_root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(fixture->folder, 0700), 0);
	return r;
}

/* Not found out by the first change, for which it is too late. */
static void what_cannot_be_written_is_refused_at_the_start(void **state)
{
	struct fixture *fixture = *state;
	struct thr_error error;

	assert_int_equal(open_where_nothing_may_be_written(fixture, &error), -EACCES);
	assert_non_null(strstr(error.text, "limits.json: cannot be written: Permission denied"));
	assert_non_null(strstr(error.text, "let the user who starts this write in its directory"));
	assert_non_null(strstr(error.text, "store.memory.state_file"));
	snprintf(fixture->path, sizeof(fixture->path), "%s/no/such/limits", fixture->folder);
	assert_int_equal(open_state(fixture, &error), -ENOENT);
	assert_non_null(strstr(error.text, "make the directory that its own is to be in"));
	assert_null(strstr(error.text, "let the user"));
	assert_non_null(strstr(error.text, "store.memory.state_file"));
	snprintf(fixture->path, sizeof(fixture->path), "%s/limits.json.lock/it", fixture->folder);
	assert_int_equal(open_state(fixture, &error), -ENOTDIR);
	assert_non_null(strstr(error.text, "store.memory.state_file"));
}

/* Else it is gone after a power failure, and the file with it. */
static void a_folder_that_is_made_is_on_disk(void **state)
{
	struct fixture *fixture = *state;
	struct stat status;

	snprintf(fixture->path, sizeof(fixture->path), "%s/new/limits.json", fixture->folder);
	syncs.count = 0;
	assert_int_equal(reopen(fixture, MAX, NULL), 0);
	put(fixture, "a");
	assert_true(was_synced(fixture->folder));
	assert_int_equal(stat(fixture->path, &status), 0);
}

/* --- the file --- */

static void quotas_are_read_as_they_were_written(void **state)
{
	static const double refills[] = {0.1, 1.0 / 3, 10, 1e-4, 123456.789012345678, 3e9};
	static const char *const keys[] = {
		"\xc3\xbc", "a\"b\\c\n\x01", "\xf0\x9f\x98\x80", "default", "/", "x y"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(refills); i++) {
		struct thr_state_change change = {
			.number = i + 1, .kind = THR_QUOTA_PUT, .key_length = strlen(keys[i])};
		const char *why;

		memcpy(change.key, keys[i], change.key_length);
		assert_int_equal(thr_quota_make(3 + i, refills[i], i % 3, &change.quota, &why), 0);
		assert_int_equal(thr_state_change(fixture->state, &change), 0);
	}
	answers(fixture, ARRAY_SIZE(refills));
	assert_int_equal(reopen(fixture, MAX, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(refills); i++) {
		struct thr_slice key = {keys[i], strlen(keys[i])};
		const struct thr_hash hash = thr_hash(&secret, key.at, key.length);
		struct thr_quota quota;

		assert_true(thr_quotas_find(fixture->quotas, &hash, key, &quota));
		assert_true(quota.refill_per_s == refills[i]);
		assert_int_equal(quota.capacity, 3 + i);
		assert_int_equal(quota.on_error, i % 3);
		assert_int_equal(quota.version, i + 1);
	}
}

static void every_byte_that_is_lost_or_changed_is_noticed(void **state)
{
	struct fixture *fixture = *state;
	struct thr_error error;
	AUTO_FREE char *text = NULL;
	size_t size;

	put(fixture, "user:1");
	put(fixture, "user:2");
	text = read_all(fixture->path, &size);
	for (size_t i = 0; i < size; i++) {
		text[i] ^= 1;
		write_all(fixture->path, text, size);
		text[i] ^= 1;
		assert_int_equal(reopen(fixture, MAX, &error), -EBADMSG);
		write_all(fixture->path, text, i);
		assert_int_equal(reopen(fixture, MAX, &error), -EBADMSG);
	}
	assert_non_null(strstr(error.text, fixture->path));
	assert_non_null(strstr(error.text, ": damaged: "));
	assert_non_null(strstr(error.text, "move it away"));
	write_all(fixture->path, text, size);
	assert_int_equal(reopen(fixture, MAX, &error), 0);
	assert_int_equal(version_of(fixture, "user:2"), 2);
}

static void a_damaged_file_is_kept(void **state)
{
	static const char text[] = "{\"version\": 1}\n";
	struct fixture *fixture = *state;
	AUTO_FREE char *after = NULL;
	size_t size;

	write_all(fixture->path, text, strlen(text));
	assert_int_equal(reopen(fixture, MAX, NULL), -EBADMSG);
	after = read_all(fixture->path, &size);
	assert_int_equal(size, strlen(text));
	assert_memory_equal(after, text, size);
}

/* A right checksum over what was never written. */
static void what_this_program_does_not_write_is_refused(void **state)
{
	static const char *const lists[] = {
		"{\"key\": \"a\"}",
		"7",
		"{\"key\": \"a\", \"capacity\": 0, \"refill_per_second\": 1, \"on_error\": "
		"\"local\", \"version\": 1}",
		"{\"key\": \"a\", \"capacity\": 1, \"refill_per_second\": -1, \"on_error\": "
		"\"local\", \"version\": 1}",
		"{\"key\": \"a\", \"capacity\": 1, \"refill_per_second\": 1, \"on_error\": "
		"\"maybe\", \"version\": 1}",
		/* a version that was not given yet */
		"{\"key\": \"a\", \"capacity\": 1, \"refill_per_second\": 1, \"on_error\": "
		"\"local\", \"version\": 9}",
		/* of a later version */
		"{\"key\": \"a\", \"capacity\": 1, \"refill_per_second\": 1, \"on_error\": "
		"\"local\", \"version\": 1, \"shared\": true}",
		"{\"key\": \"\", \"capacity\": 1, \"refill_per_second\": 1, \"on_error\": "
		"\"local\", \"version\": 1}",
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct thr_buffer text = {};

		assert_int_equal(thr_state_text_begin(&text, 3), 0);
		thr_buffer_append(&text, lists[i], strlen(lists[i]));
		assert_int_equal(thr_state_text_end(&text), 0);
		assert_int_equal(thr_state_file_write(fixture->path, &text, NULL), 0);
		thr_buffer_clear(&text);
		assert_int_equal(reopen(fixture, MAX, NULL), -EBADMSG);
		assert_int_equal(thr_quotas_count(fixture->quotas), 0);
	}
}

static void more_than_there_may_be_are_refused(void **state)
{
	struct fixture *fixture = *state;
	struct thr_error error;

	put(fixture, "a");
	put(fixture, "b");
	assert_int_equal(reopen(fixture, 1, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "api.max_configs, which has been 1 since"));
	/* A reload does not change it. */
	assert_non_null(strstr(error.text, "restart"));
	assert_int_equal(thr_quotas_count(fixture->quotas), 0);
	assert_int_equal(reopen(fixture, 2, &error), 0);
}

static void what_is_no_file_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct thr_error error;

	assert_int_equal(mkdir(fixture->path, 0700), 0);
	assert_int_equal(reopen(fixture, MAX, &error), -EINVAL);
	assert_non_null(strstr(error.text, "store.memory.state_file"));
	assert_int_equal(rmdir(fixture->path), 0);
	assert_int_equal(mkfifo(fixture->path, 0600), 0);
	assert_int_equal(reopen(fixture, MAX, &error), -EINVAL);
}

static void keys_are_text(void **state)
{
	char longest[THR_KEY_MAX + 1];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	assert_true(thr_state_key_fits((struct thr_slice){longest, THR_KEY_MAX}));
	assert_false(thr_state_key_fits((struct thr_slice){longest, THR_KEY_MAX + 1}));
	assert_false(thr_state_key_fits((struct thr_slice){longest, 0}));
	assert_false(thr_state_key_fits(THR_SLICE("\xff")));
	assert_false(thr_state_key_fits(THR_SLICE("\xed\xa0\x80")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(what_is_answered_is_there_after_a_restart),
		TEST(nothing_is_in_force_before_it_is_on_disk),
		TEST(changes_that_come_while_a_file_is_written_share_the_next),
		TEST(conditions_see_the_changes_before_them),
		TEST(there_are_as_many_as_there_may_be),
		TEST(a_worker_that_is_gone_is_not_answered),
		TEST(what_cannot_be_written_changes_nothing),
		TEST(what_may_be_in_force_after_a_restart_is_said_to_be_so),
		TEST(the_file_is_its_owners_alone_and_nothing_is_left_aside),
		TEST(a_file_has_one_writer),
		TEST(what_cannot_be_written_is_refused_at_the_start),
		TEST(a_folder_that_is_made_is_on_disk),
		TEST(quotas_are_read_as_they_were_written),
		TEST(every_byte_that_is_lost_or_changed_is_noticed),
		TEST(a_damaged_file_is_kept),
		TEST(what_this_program_does_not_write_is_refused),
		TEST(more_than_there_may_be_are_refused),
		TEST(what_is_no_file_is_refused),
		cmocka_unit_test(keys_are_text),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
