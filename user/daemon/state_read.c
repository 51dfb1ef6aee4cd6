/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading the state file; see state_file.h. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/file.h"
#include "daemon/state_file.h"
#include "daemon/state_text.h"

/* A line has at most a key of 256 bytes, each as \u0000, and 200 bytes beside it. */
#define LINE_BYTES_MAX (6 * THR_KEY_MAX + 256)

/* --- what is said --- */

static int fail_read(const char *path, int code, struct thr_error *error)
{
	return thr_fail(error, code,
			"%s: cannot be read: %s: what is set for keys is in it: make it readable, "
			"or set another store.memory.state_file",
			path, strerror(code));
}

static int fail_damaged(const char *path, const char *what, struct thr_error *error)
{
	return thr_fail(error, EBADMSG,
			"%s: damaged: %s: put a copy of it there that is whole, or move it away to "
			"begin with nothing set for any key",
			path, what);
}

static int fail_many(const char *path, const struct thr_quotas *quotas, struct thr_error *error)
{
	return thr_fail(error, ENOSPC,
			"%s: there is something set for more keys than api.max_configs, which "
			"has been %llu since the start: write a larger number, and restart",
			path, (unsigned long long)thr_quotas_max(quotas));
}

/* --- its bytes --- */

/* Without a file, *ret_text stays NULL. */
static int read_text(const char *path, const struct thr_quotas *quotas, char **ret_text,
		     size_t *ret_size, struct thr_error *error)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &status))
		return fail_read(path, errno, error);
	if (!S_ISREG(status.st_mode))
		return thr_fail(error, EINVAL,
				"%s: is no regular file: set another store.memory.state_file",
				path);
	if ((uint64_t)status.st_size > (thr_quotas_max(quotas) + 1) * LINE_BYTES_MAX)
		return fail_many(path, quotas, error);
	*ret_size = (size_t)status.st_size;
	*ret_text = malloc(*ret_size + 1);
	if (!*ret_text)
		return fail_read(path, ENOMEM, error);
	r = thr_file_read(fd, *ret_text, *ret_size);
	return r ? fail_read(path, -r, error) : 0;
}

static bool has_right_tail(const char *text, size_t size)
{
	char line[THR_STATE_TAIL + 1];

	if (size < THR_STATE_TAIL)
		return false;
	size -= THR_STATE_TAIL;
	thr_state_tail(text, size, line);
	return memcmp(text + size, line, THR_STATE_TAIL) == 0;
}

/* --- its content --- */

static bool find_on_error(const json_t *value, enum thr_on_error *ret_on_error)
{
	const char *text = json_string_value(value);

	for (unsigned int i = 0; text && i <= THR_ON_ERROR_DENY; i++)
		if (strcmp(text, thr_state_on_error[i]) == 0) {
			*ret_on_error = i;
			return true;
		}
	return false;
}

static bool read_count(const json_t *value, uint64_t *ret_count)
{
	if (!json_is_integer(value) || json_integer_value(value) <= 0)
		return false;
	*ret_count = (uint64_t)json_integer_value(value);
	return true;
}

/* One line of it into the table: exactly what is written, for what another version added would
 * be lost with the next change. Returns 0, -EBADMSG for what is not as it was written,
 * -ENOSPC. */
static int take_quota(const json_t *item, struct thr_quotas *quotas,
		      const struct thr_hash_key *secret, uint64_t last)
{
	const json_t *key = json_object_get(item, "key");
	const json_t *refill = json_object_get(item, "refill_per_second");
	struct thr_slice name = {json_string_value(key), json_string_length(key)};
	struct thr_quota quota, before;
	enum thr_on_error on_error;
	uint64_t capacity, version;
	struct thr_hash hash;
	const char *why;

	if (json_object_size(item) != 5 || !json_is_string(key) || !thr_state_key_fits(name) ||
	    !json_is_number(refill) || !read_count(json_object_get(item, "capacity"), &capacity) ||
	    !read_count(json_object_get(item, "version"), &version) || version > last ||
	    !find_on_error(json_object_get(item, "on_error"), &on_error) ||
	    thr_quota_make(capacity, json_number_value(refill), on_error, &quota, &why))
		return -EBADMSG;
	hash = thr_hash(secret, name.at, name.length);
	if (thr_quotas_find(quotas, &hash, name, &before))
		return -EBADMSG;
	quota.version = version;
	return thr_quotas_set(quotas, &hash, name, &quota);
}

static int take_all(const json_t *root, struct thr_quotas *quotas,
		    const struct thr_hash_key *secret, uint64_t *ret_version)
{
	const json_t *last = json_object_get(root, "version");
	const json_t *list = json_object_get(root, "quotas");
	int r = 0;

	if (json_object_size(root) != 3 || !json_is_integer(last) || json_integer_value(last) < 0 ||
	    !json_is_array(list))
		return -EBADMSG;
	*ret_version = (uint64_t)json_integer_value(last);
	for (size_t i = 0; i < json_array_size(list) && !r; i++)
		r = take_quota(json_array_get(list, i), quotas, secret, *ret_version);
	return r;
}

struct table {
	struct thr_quotas *quotas;
	const struct thr_hash_key *secret;
};

static void remove_one(void *context, struct thr_slice key, const struct thr_quota *quota)
{
	const struct table *table = context;
	const struct thr_hash hash = thr_hash(table->secret, key.at, key.length);

	(void)quota;
	thr_quotas_remove(table->quotas, &hash, key);
}

int thr_state_file_read(const char *path, struct thr_quotas *quotas,
			const struct thr_hash_key *secret, uint64_t *ret_version,
			struct thr_error *error)
{
	AUTO_FREE char *text = NULL;
	json_error_t unused;
	size_t size = 0;
	json_t *root;
	int r = read_text(path, quotas, &text, &size, error);

	*ret_version = 0;
	if (r || !text)
		return r;
	if (!has_right_tail(text, size))
		return fail_damaged(path, "its checksum is not that of its content", error);
	root = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &unused);
	r = root ? take_all(root, quotas, secret, ret_version) : -EBADMSG;
	json_decref(root);
	if (r)
		thr_quotas_each(quotas, remove_one,
				&(struct table){.quotas = quotas, .secret = secret});
	if (r == -ENOSPC)
		return fail_many(path, quotas, error);
	return r ? fail_damaged(path, "it is not what this version of the program writes", error)
		 : 0;
}
