/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See file.h. */
#include "core/file.h"

#include <errno.h>
#include <unistd.h>

int thr_file_write(int fd, const void *bytes, size_t size)
{
	for (const char *at = bytes; size;) {
		ssize_t put = write(fd, at, size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		at += put;
		size -= (size_t)put;
	}
	return 0;
}

int thr_file_read(int fd, void *bytes, size_t size)
{
	for (char *at = bytes; size;) {
		ssize_t got = read(fd, at, size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -EIO;
		at += got;
		size -= (size_t)got;
	}
	return 0;
}
