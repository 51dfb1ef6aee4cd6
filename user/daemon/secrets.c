/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See secrets.h. */
#include "daemon/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/file.h"
#include "core/log.h"
#include "store/redis.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define TOKEN_BYTES_LEAST 16

enum { PASSWORD, CA, CERTIFICATE, KEY, TEXTS };

/* What the memfd begins with; the texts follow, in this order, each with its NUL. */
struct head {
	uint32_t size[TEXTS]; /* 0: there is none */
	uint32_t has_token;
	uint8_t token[THR_TOKEN_DIGEST];
};

static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

static void cleanup_wipe(char **text)
{
	wipe(*text);
}

/* --- files --- */

struct file {
	const char *key; /* of the configuration */
	const char *path;
	const char *secret; /* what it is called, if nobody else may read it; NULL */
};

/* By the key that names it, which is what a reader of the message can change. */
static int fail_read(const struct file *file, int code, struct thr_error *error)
{
	return thr_fail(error, code,
			"%s: cannot be read: %s: let the user who starts this read it, or set "
			"another %s",
			file->path, strerror(code), file->key);
}

/* Whoever reads it. */
static int fail_kind(const struct file *file, int code, const char *why, struct thr_error *error)
{
	return thr_fail(error, code, "%s: cannot be read: %s: set another %s", file->path, why,
			file->key);
}

/* The whole of a small file, NUL-terminated, without NUL in it. */
static int read_file(int fd, char **ret_text)
{
	char *text = malloc(FILE_BYTES_MAX + 1);
	size_t size = 0;
	int r = text ? 0 : -ENOMEM;

	while (!r && size <= FILE_BYTES_MAX) {
		ssize_t got = read(fd, text + size, FILE_BYTES_MAX + 1 - size);

		if (got == 0)
			break;
		if (got > 0)
			size += (size_t)got;
		else if (errno != EINTR)
			r = -errno;
	}
	if (!r && size > FILE_BYTES_MAX)
		r = -EFBIG;
	if (!r && memchr(text, '\0', size))
		r = -EILSEQ;
	if (r) {
		if (text)
			explicit_bzero(text, size);
		free(text);
		return r;
	}
	text[size] = '\0';
	*ret_text = text;
	return 0;
}

static int read_text(const struct file *file, char **ret_text, struct thr_error *error)
{
	/* A FIFO that nobody writes to must not hold up the master. */
	AUTO_CLOSE int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	int r;

	if (fd < 0 || fstat(fd, &status))
		return fail_read(file, errno, error);
	if (!S_ISREG(status.st_mode))
		return fail_kind(file, EINVAL, "it is no regular file", error);
	r = read_file(fd, ret_text);
	if (r == -EFBIG)
		return fail_kind(file, EFBIG, "it is over 1 MiB", error);
	if (r == -EILSEQ)
		return fail_kind(file, EINVAL, "it is no text", error);
	if (r)
		return fail_read(file, -r, error);
	if (file->secret && status.st_mode & (S_IRGRP | S_IROTH))
		thr_log(THR_LOG_WARNING,
			"%s: others than its owner can read the %s: 'chmod 600' it", file->path,
			file->secret);
	return 0;
}

/* As an editor leaves it; NULL-safe. The end of the line is not part of the secret. */
static void cut_line_end(char *text)
{
	size_t length = text ? strlen(text) : 0;

	if (!text)
		return;
	while (length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;
	text[length] = '\0';
}

/* One that nobody could show, or that can be guessed, is none. */
static int check_token(const char *path, const char *token, struct thr_error *error)
{
	if (strlen(token) < TOKEN_BYTES_LEAST)
		return thr_fail(
			error, EINVAL,
			"%s: the token has fewer than %d bytes: write a longer one, such as "
			"'openssl rand -hex 32' prints",
			path, TOKEN_BYTES_LEAST);
	if (strlen(token) > THR_TOKEN_MAX)
		return thr_fail(error, EINVAL,
				"%s: the token has more than %d bytes: write a shorter one", path,
				THR_TOKEN_MAX);
	for (const char *at = token; *at; at++)
		if (*at <= ' ' || *at > '~')
			return thr_fail(error, EINVAL,
					"%s: the token has a space or another byte that no header "
					"field can carry: write letters and digits",
					path);
	return 0;
}

static int digest_token(const char *path, struct head *head, struct thr_error *error)
{
	const struct file file = {"api.token_file", path, "token"};
	CLEANUP(cleanup_wipe) char *token = NULL;
	int r = read_text(&file, &token, error);

	if (!token)
		return r;
	cut_line_end(token);
	r = check_token(path, token, error);
	if (r)
		return r;
	if (!EVP_Digest(token, strlen(token), head->token, NULL, EVP_sha256(), NULL))
		return thr_fail(error, ENOMEM, "%s: its digest: %s", path, strerror(ENOMEM));
	head->has_token = 1;
	return 0;
}

/* What Redis takes, as far as files are named. */
static int read_texts(const struct thr_redis_config *redis, char **texts, struct thr_error *error)
{
	const struct file files[TEXTS] = {
		[PASSWORD] = {"store.redis.password_file", redis->password_file, "password"},
		[CA] = {"store.redis.ca_file", redis->ca_file, NULL},
		[CERTIFICATE] = {"store.redis.cert_file", redis->cert_file, NULL},
		[KEY] = {"store.redis.key_file", redis->key_file, "key"},
	};

	for (int i = 0; i < TEXTS; i++) {
		int r = files[i].path ? read_text(&files[i], &texts[i], error) : 0;

		if (r)
			return r;
	}
	cut_line_end(texts[PASSWORD]);
	if (texts[PASSWORD] && !texts[PASSWORD][0])
		return thr_fail(error, EINVAL,
				"%s: the password is empty: write it there, or leave "
				"store.redis.password_file out",
				redis->password_file);
	return 0;
}

/* Say which file is at fault, which a store does not know. */
static int fail_tls(const struct thr_redis_config *redis, int code, const struct thr_error *fault,
		    struct thr_error *error)
{
	const struct {
		const char *key, *path;
	} files[] = {
		{"store.redis.ca_file: ", redis->ca_file},
		{"store.redis.cert_file: ", redis->cert_file},
		{"store.redis.key_file: ", redis->key_file},
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (strncmp(fault->text, files[i].key, strlen(files[i].key)) == 0)
			return thr_fail(error, code, "%s: %s", files[i].path, fault->text);
	return thr_fail(error, code, "%s", fault->text);
}

/* A worker that could not use them would have no configuration at all. */
static int check_tls(const struct thr_redis_config *redis, char *const *texts,
		     struct thr_error *error)
{
	const struct thr_redis_settings settings = {
		.ca = texts[CA], .certificate = texts[CERTIFICATE], .key = texts[KEY]};
	struct thr_error fault;
	int r = redis->tls ? thr_redis_check_tls(&settings, &fault) : 0;

	return r ? fail_tls(redis, -r, &fault, error) : 0;
}

/* --- packing --- */

static int pack(struct head *head, char *const *texts, int *ret_fd)
{
	AUTO_CLOSE int fd = memfd_create("xdp-throttle secrets", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : 0;

	for (int i = 0; i < TEXTS; i++)
		head->size[i] = texts[i] ? (uint32_t)strlen(texts[i]) + 1 : 0;
	if (!r)
		r = thr_file_write(fd, head, sizeof(*head));
	for (int i = 0; i < TEXTS && !r; i++)
		r = thr_file_write(fd, texts[i], head->size[i]);
	if (!r && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		r = -errno;
	if (!r)
		*ret_fd = TAKE_FD(fd);
	return r;
}

int thr_secrets_read(const struct thr_config *config, int *ret_fd, struct thr_error *error)
{
	const struct thr_redis_config *redis = &config->store.redis;
	bool is_shared = config->store.backend == THR_BACKEND_REDIS;
	char *texts[TEXTS] = {};
	struct head head = {};
	int r = 0;

	if (config->api.present && config->api.token_file)
		r = digest_token(config->api.token_file, &head, error);
	if (!r && is_shared)
		r = read_texts(redis, texts, error);
	if (!r && is_shared)
		r = check_tls(redis, texts, error);
	if (!r) {
		r = pack(&head, texts, ret_fd);
		if (r)
			thr_fail(error, -r, "memory for secrets: %s", strerror(-r));
	}
	for (int i = 0; i < TEXTS; i++)
		wipe(texts[i]);
	return r;
}

/* --- unpacking --- */

static int copy_texts(const struct head *head, size_t size, struct thr_secrets *secrets)
{
	char **const texts[TEXTS] = {&secrets->password, &secrets->ca, &secrets->certificate,
				     &secrets->key};
	const char *at = (const char *)(head + 1);
	size_t left = size - sizeof(*head);

	for (int i = 0; i < TEXTS; i++) {
		if (head->size[i] > left)
			return -EPROTO;
		if (!head->size[i])
			continue;
		*texts[i] = strndup(at, head->size[i] - 1);
		if (!*texts[i])
			return -ENOMEM;
		at += head->size[i];
		left -= head->size[i];
	}
	return 0;
}

int thr_secrets_unpack(int fd, struct thr_secrets *ret_secrets)
{
	struct thr_secrets secrets = {};
	const struct head *head;
	struct stat status;
	size_t size;
	int r;

	if (fstat(fd, &status))
		return -errno;
	size = (size_t)status.st_size;
	if (size < sizeof(*head))
		return -EPROTO;
	head = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (head == MAP_FAILED)
		return -errno;
	secrets.has_token = head->has_token;
	memcpy(secrets.token, head->token, sizeof(secrets.token));
	r = copy_texts(head, size, &secrets);
	munmap((void *)head, size);
	if (r)
		thr_secrets_clear(&secrets);
	else
		*ret_secrets = secrets;
	return r;
}

void thr_secrets_clear(struct thr_secrets *secrets)
{
	wipe(secrets->password);
	wipe(secrets->ca);
	wipe(secrets->certificate);
	wipe(secrets->key);
	explicit_bzero(secrets, sizeof(*secrets));
}
