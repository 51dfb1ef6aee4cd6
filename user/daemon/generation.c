/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See generation.h. */
#include "daemon/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/cleanup.h"
#include "core/file.h"
#include "daemon/secrets.h"

#define FILE_BYTES_MAX ((size_t)64 << 20) /* as thr_config_parse() refuses */
#define PIECE_BYTES ((size_t)64 << 10)

extern char **environ;

/* Copy a file of any kind to its end, or past the limit. */
static int copy_file(int from, int to)
{
	AUTO_FREE char *piece = malloc(PIECE_BYTES);
	size_t size = 0;

	if (!piece)
		return -ENOMEM;
	while (size <= FILE_BYTES_MAX) {
		ssize_t got = read(from, piece, PIECE_BYTES);
		int r;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		size += (size_t)got;
		r = thr_file_write(to, piece, (size_t)got);
		if (r)
			return r;
	}
	return 0;
}

static int read_text(const char *path, int *ret_fd, struct thr_error *error)
{
	AUTO_CLOSE int from = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int fd = -1;
	int r;

	if (from < 0)
		return thr_fail(error, errno, "%s: cannot be read: %s", path, strerror(errno));
	fd = memfd_create("xdp-throttle.yaml", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	r = fd < 0 ? -errno : copy_file(from, fd);
	if (!r && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		r = -errno;
	if (r)
		return thr_fail(error, -r, "%s: cannot be read: %s", path, strerror(-r));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int thr_generation_parse(const char *name, int fd, struct thr_config **ret_config,
			 struct thr_error *error)
{
	struct stat status;
	size_t size;
	void *text;
	int r;

	if (fstat(fd, &status))
		return thr_fail(error, errno, "%s: %s", name, strerror(errno));
	size = (size_t)status.st_size;
	if (!size)
		return thr_config_parse(name, "", 0, environ, ret_config, error);
	text = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		return thr_fail(error, errno, "%s: %s", name, strerror(errno));
	r = thr_config_parse(name, text, size, environ, ret_config, error);
	munmap(text, size);
	return r;
}

int thr_generation_load(const char *path, struct thr_generation **ret_generation,
			struct thr_error *error)
{
	struct thr_generation *generation = malloc(sizeof(*generation));
	int r;

	if (!generation)
		return thr_fail(error, ENOMEM, "%s: %s", path, strerror(ENOMEM));
	*generation = (struct thr_generation){
		.number = 1, .text_fd = -1, .secrets_fd = -1, .targets_fd = -1};
	r = read_text(path, &generation->text_fd, error);
	if (!r)
		r = thr_generation_parse(path, generation->text_fd, &generation->config, error);
	if (!r)
		r = thr_secrets_read(generation->config, &generation->secrets_fd, error);
	if (r)
		thr_generation_free(generation);
	else
		*ret_generation = generation;
	return r;
}

int thr_generation_map(int fd, const struct thr_config *config, unsigned int workers,
		       struct thr_targets **ret_targets)
{
	size_t size = thr_targets_size(config, workers);
	struct thr_targets *targets;
	struct stat status;
	void *block;

	if (fstat(fd, &status))
		return -errno;
	if ((size_t)status.st_size < size)
		return -EPROTO;
	block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (block == MAP_FAILED)
		return -errno;
	targets = thr_targets_new(block, config, workers);
	if (!targets) {
		munmap(block, size);
		return -ENOMEM;
	}
	*ret_targets = targets;
	return 0;
}

static int make_targets(struct thr_generation *generation, unsigned int workers)
{
	AUTO_CLOSE int fd = memfd_create("xdp-throttle targets", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t size = thr_targets_size(generation->config, workers);
	int r;

	if (fd < 0 || ftruncate(fd, (off_t)size) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	r = thr_generation_map(fd, generation->config, workers, &generation->targets);
	if (!r)
		generation->targets_fd = TAKE_FD(fd);
	return r;
}

int thr_generation_share(struct thr_generation *generation, unsigned int workers,
			 const struct thr_generation *previous, struct thr_error *error)
{
	int r = make_targets(generation, workers);

	if (r)
		return thr_fail(error, -r, "memory that workers share: %s", strerror(-r));
	if (previous) {
		generation->number = previous->number + 1;
		thr_targets_inherit(generation->targets, generation->config, previous->targets,
				    previous->config);
	}
	return 0;
}

void thr_generation_free(struct thr_generation *generation)
{
	if (!generation)
		return;
	thr_targets_free(generation->targets);
	if (generation->targets_fd >= 0)
		close(generation->targets_fd);
	if (generation->secrets_fd >= 0)
		close(generation->secrets_fd);
	if (generation->text_fd >= 0)
		close(generation->text_fd);
	thr_config_free(generation->config);
	free(generation);
}
