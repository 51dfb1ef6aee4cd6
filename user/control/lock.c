/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See lock.h. */
#include "control/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "core/cleanup.h"

#define LOCK_FILE "/run/xdp-throttle.lock"

static int lock(int how, struct thr_error *error)
{
	AUTO_CLOSE int fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return thr_fail(error, errno, "%s cannot be opened: %s", LOCK_FILE,
				errno == EACCES ? "the packet layer needs root" : strerror(errno));
	while (flock(fd, how)) {
		if (errno == EWOULDBLOCK)
			return thr_fail(error, errno, "another command holds %s: try again",
					LOCK_FILE);
		if (errno != EINTR)
			return thr_fail(error, errno, "%s cannot be locked: %s", LOCK_FILE,
					strerror(errno));
	}
	return TAKE_FD(fd);
}

int thr_lock(struct thr_error *error)
{
	return lock(LOCK_EX, error);
}

int thr_lock_try(struct thr_error *error)
{
	return lock(LOCK_EX | LOCK_NB, error);
}
