/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Replacing the file, and its text; see state_file.h. state_read.c reads it. */
#include "daemon/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/file.h"
#include "daemon/state_text.h"

/* --- the text --- */

static int put_text(struct thr_buffer *text, const char *bytes)
{
	return thr_buffer_append(text, bytes, strlen(bytes));
}

/* As a JSON string, or NULL: it is not UTF-8, or memory is out. No object of jansson's is
 * made, so that this is for any thread. */
static char *quote(struct thr_slice key)
{
	json_t *value = json_stringn(key.at, key.length);
	char *text = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

	json_decref(value);
	return text;
}

bool thr_state_key_fits(struct thr_slice key)
{
	json_t *value;

	if (!key.length || key.length > THR_KEY_MAX)
		return false;
	value = json_stringn(key.at, key.length);
	json_decref(value);
	return value;
}

/* With as few digits as it is read back by. */
static void format_number(double value, char *text, size_t size)
{
	int digits = 15;

	do {
		snprintf(text, size, "%.*g", digits, value);
	} while (strtod(text, NULL) != value && ++digits <= 17);
}

int thr_state_text_begin(struct thr_buffer *text, uint64_t version)
{
	char line[64];

	snprintf(line, sizeof(line), "{\"version\": %" PRIu64 ",\n\"quotas\": [", version);
	return put_text(text, line);
}

int thr_state_text_put(struct thr_buffer *text, struct thr_slice key, const struct thr_quota *quota)
{
	bool is_first = thr_buffer_bytes(text)[thr_buffer_length(text) - 1] == '[';
	AUTO_FREE char *name = quote(key);
	char rest[256], refill[32];
	int r = name ? 0 : -ENOMEM;

	format_number(quota->refill_per_s, refill, sizeof(refill));
	snprintf(rest, sizeof(rest),
		 ", \"capacity\": %" PRIu64 ", \"refill_per_second\": %s, \"on_error\": \"%s\", "
		 "\"version\": %" PRIu64 "}",
		 quota->capacity, refill, thr_state_on_error[quota->on_error], quota->version);
	if (!r)
		r = put_text(text, is_first ? "\n{\"key\": " : ",\n{\"key\": ");
	if (!r)
		r = put_text(text, name);
	return r ? r : put_text(text, rest);
}

int thr_state_text_end(struct thr_buffer *text)
{
	char line[THR_STATE_TAIL + 1];
	int r = put_text(text, "\n],\n");

	if (r)
		return r;
	thr_state_tail(thr_buffer_bytes(text), thr_buffer_length(text), line);
	return put_text(text, line);
}

void thr_state_tail(const char *bytes, size_t size, char ret_line[static THR_STATE_TAIL + 1])
{
	/* No secret: it is against accidents. */
	static const struct thr_hash_key key = {{0x7864702d7468726f, 0x74746c6520737461}};
	const struct thr_hash sum = thr_hash(&key, bytes, size);

	snprintf(ret_line, THR_STATE_TAIL + 1, "\"checksum\": \"%016" PRIx64 "%016" PRIx64 "\"}\n",
		 sum.word[0], sum.word[1]);
}

const char *const thr_state_on_error[] = {
	[THR_ON_ERROR_LOCAL] = "local",
	[THR_ON_ERROR_ALLOW] = "allow",
	[THR_ON_ERROR_DENY] = "deny",
};

/* --- the file --- */

/* One that is there is left from a process that ended while it wrote. */
static int create(int folder, const char *name, int *ret_fd)
{
	if (unlinkat(folder, name, 0) && errno != ENOENT)
		return -errno;
	*ret_fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *ret_fd < 0 ? -errno : 0;
}

static int replace(int folder, const char *name, const struct thr_buffer *text)
{
	AUTO_CLOSE int fd = -1;
	char aside[NAME_MAX + 1];
	int r;

	if ((size_t)snprintf(aside, sizeof(aside), "%s.new", name) >= sizeof(aside))
		return -ENAMETOOLONG;
	r = create(folder, aside, &fd);
	if (r)
		return r;
	r = thr_file_write(fd, thr_buffer_bytes(text), thr_buffer_length(text));
	if (r == 0)
		r = fsync(fd) ? -errno : 0;
	if (!r && renameat(folder, aside, folder, name))
		r = -errno;
	if (r)
		unlinkat(folder, aside, 0);
	return r;
}

static int open_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int sync_directory(const char *path)
{
	AUTO_CLOSE int fd = open_directory(path);

	if (fd < 0)
		return fd;
	return fsync(fd) ? -errno : 0;
}

/* One that is not on disk would take the file with it; then it is made again. */
static int make_folder(const char *path)
{
	AUTO_FREE char *copy = NULL;
	int r;

	if (mkdir(path, 0700))
		return -errno;
	copy = strdup(path);
	r = copy ? sync_directory(dirname(copy)) : -ENOMEM;
	if (r)
		rmdir(path);
	return r;
}

static int open_folder(const char *path)
{
	int r = open_directory(path);

	if (r != -ENOENT)
		return r;
	r = make_folder(path);
	return r ? r : open_directory(path);
}

static int take_lock(int folder, const char *name, int *ret_fd)
{
	AUTO_CLOSE int fd =
		openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);

	/* The file is replaced, which takes leave to write in its folder. */
	if (fd < 0 || faccessat(folder, ".", W_OK | X_OK, AT_EACCESS))
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int thr_state_file_lock(const char *path, int *ret_fd, struct thr_error *error)
{
	/* Each of the two changes its text. */
	AUTO_FREE char *for_folder = strdup(path);
	AUTO_FREE char *for_name = NULL;
	AUTO_CLOSE int folder = -1;
	int r = for_folder && asprintf(&for_name, "%s.lock", path) > 0 ? 0 : -ENOMEM;

	if (!r) {
		folder = open_folder(dirname(for_folder));
		r = folder < 0 ? folder : take_lock(folder, basename(for_name), ret_fd);
	}
	if (r == -EBUSY)
		return thr_fail(error, EBUSY,
				"%s: is in use by another process, which locks %s.lock: end that "
				"one, or set another store.memory.state_file",
				path, path);
	if (r)
		thr_fail(
			error, -r,
			"%s: cannot be written: %s: what is set for keys is kept there: %s, or set "
			"another store.memory.state_file",
			path, strerror(-r),
			r == -ENOENT ? "make the directory that its own is to be in"
				     : "let the user who starts this write in its directory");
	return r;
}

int thr_state_file_write(const char *path, const struct thr_buffer *text, struct thr_error *error)
{
	/* Each of the two changes its text. */
	AUTO_FREE char *for_folder = strdup(path);
	AUTO_FREE char *for_name = strdup(path);
	AUTO_CLOSE int folder = -1;
	int r = for_folder && for_name ? 0 : -ENOMEM;

	if (!r) {
		folder = open_folder(dirname(for_folder));
		r = folder < 0 ? folder : replace(folder, basename(for_name), text);
	}
	if (r)
		return thr_fail(error, -r, "%s: cannot be written: %s", path, strerror(-r));
	if (fsync(folder))
		return thr_fail(error, EINPROGRESS,
				"%s: was written, but its directory cannot be synced: %s", path,
				strerror(errno));
	return 0;
}
