/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files that a configuration names: what workers get of them, and what is refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "daemon/secrets.h"
#include "support/run.h"

struct fixture {
	char folder[32], path[64], other[64];
	struct thr_config config;
	struct thr_secrets secrets;
	struct thr_error error;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	strcpy(fixture->folder, "/tmp/thr-secrets-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/a", fixture->folder);
	snprintf(fixture->other, sizeof(fixture->other), "%s/b", fixture->folder);
	fixture->config.api.present = true;
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	thr_secrets_clear(&fixture->secrets);
	unlink(fixture->path);
	rmdir(fixture->path);
	unlink(fixture->other);
	rmdir(fixture->folder);
	free(fixture);
	return 0;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
}

static void write_text(const char *path, const char *text)
{
	write_file(path, text, strlen(text));
}

static int hand_on(struct fixture *fixture)
{
	AUTO_CLOSE int fd = -1;
	int r = thr_secrets_read(&fixture->config, &fd, &fixture->error);

	return r ? r : thr_secrets_unpack(fd, &fixture->secrets);
}

static void without_files_there_is_nothing(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(hand_on(fixture), 0);
	assert_false(fixture->secrets.has_token);
	assert_null(fixture->secrets.password);
	assert_null(fixture->secrets.ca);
}

static void a_token_is_handed_on_as_its_digest(void **state)
{
	/* printf 0123456789abcdef | sha256sum */
	static const uint8_t digest[THR_TOKEN_DIGEST] = {
		0x9f, 0x9f, 0x51, 0x11, 0xf7, 0xb2, 0x7a, 0x78, 0x1f, 0x1f, 0x1d,
		0xdd, 0xe5, 0xeb, 0xc2, 0xdd, 0x2b, 0x79, 0x6b, 0xfc, 0x73, 0x65,
		0xc9, 0xc2, 0x8b, 0x54, 0x8e, 0x56, 0x41, 0x76, 0x92, 0x9f};
	static const char *const texts[] = {"0123456789abcdef", "0123456789abcdef\n",
					    "0123456789abcdef\r\n"};
	struct fixture *fixture = *state;
	AUTO_CLOSE int fd = -1;
	char block[4096];
	ssize_t size;

	fixture->config.api.token_file = fixture->path;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		write_text(fixture->path, texts[i]);
		assert_int_equal(hand_on(fixture), 0);
		assert_true(fixture->secrets.has_token);
		assert_memory_equal(fixture->secrets.token, digest, sizeof(digest));
	}
	assert_int_equal(thr_secrets_read(&fixture->config, &fd, NULL), 0);
	size = pread(fd, block, sizeof(block), 0);
	assert_true(size > 0);
	assert_null(memmem(block, (size_t)size, "0123456789abcdef", 16));
}

static void a_token_that_is_easy_to_guess_is_refused(void **state)
{
	static const char *const texts[] = {"",
					    "\n",
					    "0123456789abcde",
					    "0123456789abcde\n\n\n",
					    "0123456789 abcdef",
					    "0123456789\nabcdef"};
	struct fixture *fixture = *state;

	fixture->config.api.token_file = fixture->path;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		write_text(fixture->path, texts[i]);
		assert_int_equal(hand_on(fixture), -EINVAL);
		assert_non_null(strstr(fixture->error.text, fixture->path));
		assert_non_null(strstr(fixture->error.text, "the token has "));
	}
}

static void a_token_that_callers_could_not_show_is_refused(void **state)
{
	char token[THR_TOKEN_MAX + 2] = "";
	struct fixture *fixture = *state;

	fixture->config.api.token_file = fixture->path;
	memset(token, 'x', THR_TOKEN_MAX);
	write_text(fixture->path, token);
	assert_int_equal(hand_on(fixture), 0);
	token[THR_TOKEN_MAX] = 'x';
	write_text(fixture->path, token);
	assert_int_equal(hand_on(fixture), -EINVAL);
	assert_non_null(strstr(fixture->error.text, "the token has more than 4096 bytes"));
}

static void what_redis_takes_is_handed_on_as_it_is(void **state)
{
	static const char pem[] = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
	struct fixture *fixture = *state;

	fixture->config.store.redis.password_file = fixture->path;
	fixture->config.store.redis.key_file = fixture->other;
	write_text(fixture->path, "open sesame\n");
	write_text(fixture->other, pem);
	/* It is not read where there is no Redis. */
	assert_int_equal(hand_on(fixture), 0);
	assert_null(fixture->secrets.password);
	fixture->config.store.backend = THR_BACKEND_REDIS;
	assert_int_equal(hand_on(fixture), 0);
	assert_string_equal(fixture->secrets.password, "open sesame");
	assert_string_equal(fixture->secrets.key, pem);
	assert_null(fixture->secrets.ca);
	assert_null(fixture->secrets.certificate);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
	struct fixture *fixture = *state;
	char expected[192];

	fixture->config.api.token_file = fixture->path;
	assert_int_equal(hand_on(fixture), -ENOENT);
	snprintf(expected, sizeof(expected),
		 "%s: cannot be read: No such file or directory: let the user who starts this "
		 "read it, or set another api.token_file",
		 fixture->path);
	assert_string_equal(fixture->error.text, expected);
	assert_int_equal(mkdir(fixture->path, 0700), 0);
	assert_int_equal(hand_on(fixture), -EINVAL);
	snprintf(expected, sizeof(expected),
		 "%s: cannot be read: it is no regular file: set another api.token_file",
		 fixture->path);
	assert_string_equal(fixture->error.text, expected);
	assert_int_equal(rmdir(fixture->path), 0);
	assert_int_equal(mkfifo(fixture->path, 0600), 0);
	assert_int_equal(hand_on(fixture), -EINVAL);
	assert_non_null(strstr(fixture->error.text, "no regular file"));
}

static void a_file_of_redis_is_named_by_its_key(void **state)
{
	struct fixture *fixture = *state;
	struct thr_redis_config *redis = &fixture->config.store.redis;
	const struct {
		char **path;
		const char *key;
	} files[] = {
		{&redis->password_file, "set another store.redis.password_file"},
		{&redis->ca_file, "set another store.redis.ca_file"},
		{&redis->cert_file, "set another store.redis.cert_file"},
		{&redis->key_file, "set another store.redis.key_file"},
	};

	fixture->config.store.backend = THR_BACKEND_REDIS;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		*files[i].path = fixture->path;
		assert_int_equal(hand_on(fixture), -ENOENT);
		assert_non_null(strstr(fixture->error.text, fixture->path));
		assert_non_null(strstr(fixture->error.text, files[i].key));
		*files[i].path = NULL;
	}
}

static void a_password_that_is_empty_is_refused(void **state)
{
	static const char *const texts[] = {"", "\n", "\r\n"};
	struct fixture *fixture = *state;

	fixture->config.store.backend = THR_BACKEND_REDIS;
	fixture->config.store.redis.password_file = fixture->path;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		write_text(fixture->path, texts[i]);
		assert_int_equal(hand_on(fixture), -EINVAL);
		assert_non_null(strstr(fixture->error.text, fixture->path));
		assert_non_null(strstr(fixture->error.text, "the password is empty"));
	}
}

static void a_file_has_a_megabyte_at_most_and_is_text(void **state)
{
	const size_t size = ((size_t)1 << 20) + 1;
	AUTO_FREE char *bytes = malloc(size);
	struct fixture *fixture = *state;

	assert_non_null(bytes);
	memset(bytes, 'x', size);
	fixture->config.store.backend = THR_BACKEND_REDIS;
	fixture->config.store.redis.password_file = fixture->path;
	write_file(fixture->path, bytes, size - 1);
	assert_int_equal(hand_on(fixture), 0);
	write_file(fixture->path, bytes, size);
	assert_int_equal(hand_on(fixture), -EFBIG);
	assert_non_null(strstr(fixture->error.text, "over 1 MiB"));
	bytes[20] = '\0';
	write_file(fixture->path, bytes, 40);
	assert_int_equal(hand_on(fixture), -EINVAL);
}

static void what_is_handed_on_cannot_be_changed(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int fd = -1;

	assert_int_equal(thr_secrets_read(&fixture->config, &fd, NULL), 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
}

static void what_is_not_packed_so_is_refused(void **state)
{
	AUTO_CLOSE int fd = memfd_create("test", MFD_CLOEXEC);
	struct fixture *fixture = *state;
	uint32_t sizes[64] = {~0U};

	assert_int_equal(thr_secrets_unpack(fd, &fixture->secrets), -EPROTO);
	assert_int_equal(write(fd, sizes, sizeof(sizes)), sizeof(sizes));
	assert_int_equal(thr_secrets_unpack(fd, &fixture->secrets), -EPROTO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(without_files_there_is_nothing),
		TEST(a_token_is_handed_on_as_its_digest),
		TEST(a_token_that_is_easy_to_guess_is_refused),
		TEST(a_token_that_callers_could_not_show_is_refused),
		TEST(what_redis_takes_is_handed_on_as_it_is),
		TEST(a_file_that_cannot_be_read_is_named),
		TEST(a_file_of_redis_is_named_by_its_key),
		TEST(a_password_that_is_empty_is_refused),
		TEST(a_file_has_a_megabyte_at_most_and_is_text),
		TEST(what_is_handed_on_cannot_be_changed),
		TEST(what_is_not_packed_so_is_refused),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
